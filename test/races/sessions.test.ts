/** Sessions that are renewed while what they keep is settled, ended, or listed by others. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Queue } from '../../src/domain/queue.ts';
import type { ClaimedJob } from '../../src/engine/ports/repository.ts';
import { Database, type Run } from '../../src/repository/database.ts';
import { expireLeases } from '../../src/repository/upkeep/expire-leases.ts';
import { ackMany } from '../../src/repository/workers/ack.ts';
import { beatSessions } from '../../src/repository/workers/beat-sessions.ts';
import { heartbeatMany } from '../../src/repository/workers/heartbeat.ts';
import { PATIENT, Stage, tokenOf } from '../engine/stage.ts';
import { beatOf, listed, openSession, SESSION_MS, tie } from '../support/sessions.ts';
import { openTransaction } from './open-transaction.ts';

const GRACE_MS = 5_000;
/** Held exclusively, it keeps every statement of a paused connection where it has its snapshot and has read nothing yet. */
const PAUSE = 4_711;

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
  // Every statement asks for the epoch first.
  await stage.sql.unsafe(`
    alter function stint.current_epoch(smallint) rename to epoch_at_once;
    create function stint.current_epoch(of_shard smallint) returns integer language plpgsql stable as $$
    begin
      if current_setting('application_name') = 'paused' then perform pg_advisory_xact_lock_shared(${PAUSE}); end if;
      return stint.epoch_at_once(of_shard);
    end $$`);
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

/** Leases that a session has listed, all of them just now. */
async function tied(count = 1) {
  await stage.enqueue(queue, ...Array.from({ length: count }, () => ({})));
  const held = await stage.claim(queue, { maxJobs: count, leaseDurationMs: SESSION_MS });
  const session = await openSession(stage.repository);
  await tie(stage.repository, session, ...held);
  return { session, held, one: held[0] ?? expect.unreachable() };
}

/** Played time so many milliseconds later, as a statement takes it. */
const after = (milliseconds: number) => new Date(stage.clock.now().getTime() + milliseconds).toISOString();
const inTime = () => after(SESSION_MS - 1);
const tooLate = () => after(SESSION_MS + GRACE_MS);

const expire = (run: Run, now: string) => expireLeases(run, now, 10, () => 1);
const beats = (session: string, ...held: readonly ClaimedJob[]) => [{ sessionId: session, opensForMs: null, items: held.map(listed) }];
const acks = (...held: readonly ClaimedJob[]) => held.map((one) => ({ token: tokenOf(one), result: Buffer.from('r'), contentType: '' }));

async function on<Answer>(applicationName: string, work: (run: Run) => Promise<Answer>): Promise<Answer> {
  const database = new Database({ url: `${stage.database.url}?${PATIENT}`, connections: 1, applicationName, settings: 'hot' });
  try {
    return await work(database.run);
  } finally {
    await database.close();
  }
}

/** What a statement answers that saw the database as it was before `meanwhile`, and does what it does afterwards. */
async function seenBefore<Answer>(work: (run: Run) => Promise<Answer>, meanwhile: () => Promise<unknown>): Promise<Answer> {
  const pause = await stage.stranger((sql) => sql`select pg_advisory_xact_lock(${PAUSE})`);
  const answer = on('paused', work);
  await stage.waitingForLocks(1);
  await meanwhile();
  await pause.rollback();
  return await answer;
}

async function expectSound(): Promise<void> {
  expect(await stage.violations(queue.namespace)).toEqual([]);
  await on('the end', (run) => expire(run, after(3_600_000)));
}

const stateOf = async ({ job }: ClaimedJob) => (await stage.job(job.jobId)).state;

describe('expiry', () => {
  it('leaves alone what a renewal keeps that has not committed yet, and ends it when that is undone', async () => {
    const { session, one } = await tied();
    const renewal = await openTransaction(stage.database.url, (run) => beatSessions(run, inTime(), beats(session, one)));
    expect(renewal.outcome).toMatchObject([[{ kind: 'renewed' }]]);
    expect(await on('sweeper', (run) => expire(run, tooLate()))).toMatchObject({ count: 0 });
    await renewal.rollback();
    expect(await on('sweeper', (run) => expire(run, tooLate()))).toMatchObject({ count: 1 });
    await expectSound();
  });

  it('spares what was renewed since it looked', async () => {
    const { session, held, one } = await tied(3);
    const renew = () => on('worker', (run) => beatSessions(run, inTime(), beats(session, ...held)));
    expect(await seenBefore((run) => expire(run, tooLate()), renew)).toMatchObject({ count: 0 });
    expect(await stateOf(one)).toBe('RUNNING');
    await expectSound();
  });

  it('spares what another session has taken over since it looked', async () => {
    const { one } = await tied();
    const other = await openSession(stage.repository);
    const adopt = () => on('worker', (run) => heartbeatMany(run, inTime(), [{ ...listed(one), session: other }]));
    expect(await seenBefore((run) => expire(run, tooLate()), adopt)).toMatchObject({ count: 0 });
    expect(await stateOf(one)).toBe('RUNNING');
    await expectSound();
  });

  it('makes a renewal wait, which then finds that its session has lapsed', async () => {
    const { session, held, one } = await tied(3);
    const expiry = await openTransaction(stage.database.url, (run) => expire(run, tooLate()));
    expect(expiry.outcome.count).toBe(3);
    const beating = on('worker', (run) => beatSessions(run, tooLate(), beats(session, ...held)));
    await stage.waitingForLocks(1);
    await expiry.commit();
    expect(await beating).toEqual([null]);
    expect(await stateOf(one)).toBe('RETRY_WAIT');
    await expectSound();
  });

  it('ends what times out though its session goes on, and a renewal beside it keeps the rest', async () => {
    const { session, held } = await tied(2);
    const [timed = expect.unreachable(), other = expect.unreachable()] = held;
    await stage.sql`update stint.lease set run_until = ${inTime()} where job = ${timed.job.jobId}`;
    const renewal = await openTransaction(stage.database.url, (run) => beatSessions(run, after(1_000), beats(session, ...held)));
    expect(await on('sweeper', (run) => expire(run, inTime()))).toMatchObject({ count: 1, timedOut: 1 });
    await renewal.commit();
    expect(await beatOf(stage.repository, session, timed, other)).toMatchObject([null, { kind: 'renewed' }]);
    await expectSound();
  });
});

describe('a renewal', () => {
  it('reads the clock behind its locks: a session that lapsed while it waited is not renewed', async () => {
    const { session, one } = await tied();
    const connection = await stage.sql.reserve();
    await connection`begin`;
    await connection`select 1 from stint.session where id = ${session} for update`;
    const beating = on('worker', (run) => beatSessions(run, null, beats(session, one)));
    await stage.waitingForLocks(1);
    await connection`update stint.session set until = clock_timestamp() where id = ${session}`;
    await connection`commit`;
    connection.release();
    expect(await beating).toEqual([null]);
    await expectSound();
  });
});

describe('an ack', () => {
  it('that saw the session as it was before a renewal looks again, and is applied', async () => {
    const { session, one } = await tied();
    const renew = () => on('worker', (run) => beatSessions(run, inTime(), beats(session, one)));
    expect(await seenBefore((run) => ackMany(run, tooLate(), acks(one)), renew)).toMatchObject([{ kind: 'applied' }]);
    expect(await stateOf(one)).toBe('SUCCEEDED');
    await expectSound();
  });

  it('that waits for the row of a lease which its session keeps judges it anew', async () => {
    const { session, one } = await tied();
    await on('worker', (run) => beatSessions(run, inTime(), beats(session, one)));
    const stranger = await stage.stranger((sql) => sql`update stint.lease set seq = seq where job = ${one.job.jobId}`);
    const acking = on('worker', (run) => ackMany(run, tooLate(), acks(one)));
    await stage.waitingForLocks(1);
    await stranger.commit();
    expect(await acking).toMatchObject([{ kind: 'applied' }]);
    await expectSound();
  });
});
