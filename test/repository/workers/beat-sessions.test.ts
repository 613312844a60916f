import { randomUUID } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type JobId, NO_TIMEOUTS } from '../../../src/domain/job.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { ClaimedJob } from '../../../src/engine/ports/repository.ts';
import { Database } from '../../../src/repository/database.ts';
import { statement } from '../../../src/repository/statement.ts';
import { beatSessions } from '../../../src/repository/workers/beat-sessions.ts';
import { Stage, tokenOf } from '../../engine/stage.ts';
import { beatOf, listed, openSession, renewedUntil, SESSION_MS, tie } from '../../support/sessions.ts';

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
  // What other tests have left in flight is none of this one's.
  stage.clock.advance(2 * 86_400_000);
  while ((await expire()) > 0);
});
afterAll(() => stage.close());

const GRACE_MS = 5_000;
const failure = { code: 'x', message: '', details: new Uint8Array(), kind: 'RETRYABLE' as const };

/** Claimed, and listed once by a session that opened just now. */
async function tied(count = 1): Promise<{ readonly session: string; readonly held: readonly ClaimedJob[] }> {
  await stage.enqueue(queue, ...Array.from({ length: count }, () => ({})));
  const held = await stage.claim(queue, { maxJobs: count, leaseDurationMs: SESSION_MS });
  const session = await openSession(stage.repository);
  await tie(stage.repository, session, ...held);
  return { session, held };
}

async function tiedOne() {
  const { session, held } = await tied();
  return { session, held: held[0] ?? expect.unreachable() };
}

/** Leases that their session alone keeps, for a millisecond more: their own time is over, grace and all. */
async function kept(count: number): Promise<readonly ClaimedJob[]> {
  const { session, held } = await tied(count);
  stage.clock.advance(SESSION_MS - 1);
  await beatOf(stage.repository, session, ...held);
  stage.clock.advance(SESSION_MS - 1);
  return held;
}

async function keptOne(): Promise<ClaimedJob> {
  return (await kept(1))[0] ?? expect.unreachable();
}

const leaseRows = (held: readonly ClaimedJob[]) =>
  stage.sql`select job, xmin::text, ctid::text, until from stint.lease where job = any(${held.map(({ job }) => job.jobId)}) order by job`;
const stateOf = async (jobId: JobId) => (await stage.job(jobId)).state;
const expire = async () => (await stage.repository.expireLeases()).count;

describe('a beat of a session', () => {
  it('renews all that it keeps by one row, and writes no lease', async () => {
    const { session, held } = await tied(20);
    const before = await leaseRows(held);
    stage.clock.advance(10_000);
    const expiresAt = stage.now + SESSION_MS * 1_000;
    expect(await beatOf(stage.repository, session, ...held)).toEqual(held.map(() => renewedUntil(expiresAt)));
    expect(await leaseRows(held)).toEqual(before);
    const jobs = await stage.repository.getJobs(held.map(({ job }) => job.jobId));
    expect(jobs.map((job) => job?.leaseExpiresAt)).toEqual(held.map(() => expiresAt));
  });

  it('stays on its page: a HOT update', async () => {
    const sessions = await Promise.all(Array.from({ length: 20 }, () => openSession(stage.repository)));
    const own = new Database({ url: stage.database.url, connections: 1, applicationName: 'beats', settings: 'hot' });
    const flush = statement<never>('flush-statistics', sql`select pg_stat_force_next_flush()`);
    const updates = async () => {
      await own.run(flush, {});
      const [row] = await stage.sql`
        select n_tup_upd::int as all, n_tup_hot_upd::int as hot from pg_stat_user_tables where relname = 'session' and schemaname = 'stint'`;
      return { all: Number(row?.['all']), hot: Number(row?.['hot']) };
    };
    const before = await updates();
    const beats = sessions.map((sessionId) => ({ sessionId, opensForMs: null, items: [] }));
    for (let round = 0; round < 3; round += 1) {
      expect(await beatSessions(own.run, stage.clock.now().toISOString(), beats)).toEqual(sessions.map(() => []));
    }
    const after = await updates();
    await own.close();
    expect(after.all - before.all).toBe(60);
    expect(after.hot - before.hot).toBe(60);
  });

  it('keeps no lease that it never listed, nor one of another session, nor one under a stale token', async () => {
    const { session, held } = await tiedOne();
    const other = await tiedOne();
    const unlisted = await stage.held(queue, { claim: { leaseDurationMs: SESSION_MS } });
    const stale = { token: { ...tokenOf(held), secret: randomUUID() } };
    const items = [listed(unlisted), listed(other.held), stale, listed(held)];
    const [beaten] = await stage.repository.beatSessions([{ sessionId: session, opensForMs: null, items }]);
    expect(beaten).toEqual([null, null, null, renewedUntil(stage.now + SESSION_MS * 1_000)]);
  });

  it('of several is answered to each, in order, beside one that opens', async () => {
    const [one, other] = [await tiedOne(), await tiedOne()];
    stage.clock.advance(1_000);
    const going = (session: string, ...held: readonly ClaimedJob[]) => ({ sessionId: session, opensForMs: null, items: held.map(listed) });
    const until = renewedUntil(stage.now + SESSION_MS * 1_000);
    const beats = [
      going(other.session, other.held, one.held),
      going(randomUUID(), one.held),
      { sessionId: randomUUID(), opensForMs: 7_000, items: [listed(one.held)] },
      going(one.session, one.held),
      going(other.session),
    ];
    expect(await stage.repository.beatSessions(beats)).toEqual([[until, null], null, [null], [until], []]);
    expect(await stage.repository.beatSessions([])).toEqual([]);
  });

  it('tells when what it keeps ends before, and that its holder is to stop or to finish', async () => {
    const timeouts = { ...NO_TIMEOUTS, startToCloseMs: 40_000 };
    await stage.enqueue(queue, { timeouts }, {});
    const held = await stage.claim(queue, { maxJobs: 2, leaseDurationMs: SESSION_MS });
    const [timed, cancelled] = held;
    const session = await openSession(stage.repository);
    await tie(stage.repository, session, ...held);
    const { namespace } = queue;
    await stage.repository.cancelMany([{ namespace, jobId: cancelled?.job.jobId ?? stage.mint.mint(), reason: '', request: null }]);
    const cancelDeadline = stage.now + 30_000_000;
    const timesOutAt = stage.now + 40_000_000;
    stage.clock.advance(20_000);
    await stage.sql`update stint.queue set status = 4 where id = ${queue.id}`;
    expect(await beatOf(stage.repository, session, ...held)).toEqual([
      { ...renewedUntil(timesOutAt, 20_000), draining: true },
      { ...renewedUntil(cancelDeadline, 10_000), draining: true, cancelDeadline },
    ]);
    expect((await stage.job(timed?.job.jobId ?? stage.mint.mint())).leaseExpiresAt).toBe(timesOutAt);
    stage.clock.advance(10_000);
    expect(await beatOf(stage.repository, session, ...held)).toMatchObject([{ kind: 'renewed' }, null]);
    expect(await expire()).toBe(1);
    expect(await stateOf(cancelled?.job.jobId ?? stage.mint.mint())).toBe('CANCELLED');
  });

  it('comes too late from the end of the session on: it is never renewed, though its leases are in their grace', async () => {
    const { session, held } = await tiedOne();
    stage.clock.advance(SESSION_MS);
    expect(await beatOf(stage.repository, session, held)).toBeNull();
    const next = await openSession(stage.repository);
    expect(await tie(stage.repository, next, held)).toEqual([renewedUntil(stage.now + SESSION_MS * 1_000)]);
    stage.clock.advance(10_000);
    expect(await beatOf(stage.repository, session, held)).toBeNull();
    expect(await beatOf(stage.repository, next, held)).toEqual([renewedUntil(stage.now + SESSION_MS * 1_000)]);
  });
});

describe('a lease that its session keeps', () => {
  it('ends with the grace behind the end of its session, whatever its own row says', async () => {
    const held = await keptOne();
    const endsAt = stage.now + (1 + GRACE_MS) * 1_000;
    expect(await stage.repository.expireLeases()).toMatchObject({ count: 0, nextDueAt: endsAt });
    expect(await stage.repository.nextDue()).toMatchObject({ leaseEndsAt: endsAt });
    stage.clock.advance(GRACE_MS);
    expect(await expire()).toBe(0);
    expect(await stateOf(held.job.jobId)).toBe('RUNNING');
    stage.clock.advance(1);
    expect(await expire()).toBe(1);
    expect(await stage.job(held.job.jobId)).toMatchObject({ state: 'RETRY_WAIT', failure: { code: 'stint.lease_expired' } });
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it.each([
    ['acked', (one: ClaimedJob) => stage.repository.ackMany([{ token: tokenOf(one), result: new Uint8Array(), contentType: '' }])],
    ['failed', (one: ClaimedJob) => stage.repository.failMany([{ token: tokenOf(one), failure, retryAfterMs: null, jitterFactor: 1 }])],
    ['released', (one: ClaimedJob) => stage.repository.releaseMany([{ token: tokenOf(one), delayMs: 0 }])],
    ['suspended', (one: ClaimedJob) => stage.repository.suspendMany([{ token: tokenOf(one), checkpoint: null, reason: '' }])],
    ['started', (one: ClaimedJob) => stage.repository.startMany([{ token: tokenOf(one) }])],
  ] as const)('is %s up to its end, and not from then on', async (_, settle) => {
    const [one = expect.unreachable(), late = expect.unreachable()] = await kept(2);
    expect(await settle(one)).toMatchObject([{ kind: expect.stringMatching(/applied/) }]);
    stage.clock.advance(1 + GRACE_MS);
    expect(await settle(late)).toMatchObject([{ kind: 'lease_lost' }]);
    await expire();
  });

  it('is renewed alone too, looked at, told of and cancelled up to its end, and not from then on', async () => {
    const [held = expect.unreachable(), other = expect.unreachable()] = await kept(2);
    const { repository } = stage;
    const { namespace } = queue;
    const { jobId } = held.job;
    const fact = { namespace, jobId, ...listed(held), replayKey: null, type: 'fact', data: new Uint8Array(), contentType: '' };
    expect(await repository.lookAtLeases([listed(held)])).toMatchObject([{ kind: 'live' }]);
    expect(await repository.appendMany([fact])).toMatchObject([{ kind: 'appended' }]);
    expect(await repository.cancelMany([{ namespace, jobId, reason: '', request: null }])).toMatchObject([{ outcome: 'CANCEL_REQUESTED' }]);
    expect(await repository.heartbeatMany([listed(other)])).toMatchObject([{ kind: 'renewed' }]);
    stage.clock.advance(SESSION_MS + GRACE_MS);
    const late = [listed(other)];
    expect(await repository.heartbeatMany(late)).toEqual([{ kind: 'lease_lost', reason: 'EXPIRED' }]);
    expect(await repository.lookAtLeases(late)).toEqual([{ kind: 'lease_lost', reason: 'EXPIRED' }]);
    await expire();
  });

  it('is told with the leases of its request as long as it lives', async () => {
    const held = await stage.held(queue, { claim: { leaseDurationMs: SESSION_MS, requestId: 'r' } });
    const session = await openSession(stage.repository);
    await tie(stage.repository, session, held);
    stage.clock.advance(SESSION_MS - 1);
    await beatOf(stage.repository, session, held);
    stage.clock.advance(SESSION_MS - 1);
    const again = await stage.repository.leasesOfRequest(queue.namespace, 'w', 'r');
    expect(again.map(({ lease }) => [lease.leaseToken, lease.expiresAt])).toEqual([[held.lease.leaseToken, stage.now + 1_000]]);
  });

  it('may be renewed alone: its own time counts as well', async () => {
    const { held } = await tiedOne();
    stage.clock.advance(20_000);
    await stage.repository.heartbeatMany([listed(held)]);
    expect((await stage.job(held.job.jobId)).leaseExpiresAt).toBe(stage.now + SESSION_MS * 1_000);
    stage.clock.advance(SESSION_MS + GRACE_MS - 1);
    expect(await expire()).toBe(0);
    stage.clock.advance(1);
    expect(await expire()).toBe(1);
  });
});

describe('whose session it is', () => {
  it('a lease goes with the session that listed it last', async () => {
    const { session, held } = await tiedOne();
    const other = await openSession(stage.repository);
    await tie(stage.repository, other, held);
    stage.clock.advance(10_000);
    expect(await beatOf(stage.repository, session, held)).toEqual([null]);
    expect(await beatOf(stage.repository, other, held)).toMatchObject([{ kind: 'renewed' }]);
  });

  it('a lease that runs otherwise long goes with none, and is renewed for its own time', async () => {
    const held = await stage.held(queue, { claim: { leaseDurationMs: 60_000 } });
    const session = await openSession(stage.repository);
    expect(await tie(stage.repository, session, held)).toEqual([renewedUntil(stage.now + 60_000_000, 60_000)]);
    expect(await beatOf(stage.repository, session, held)).toEqual([null]);
  });

  it('a checkpoint is kept by the beat that ties the lease', async () => {
    const held = await stage.held(queue, { claim: { leaseDurationMs: SESSION_MS } });
    const session = await openSession(stage.repository);
    await stage.repository.heartbeatMany([{ token: tokenOf(held), checkpoint: Buffer.from('c'), session }]);
    expect(await beatOf(stage.repository, session, held)).toMatchObject([{ kind: 'renewed' }]);
    await stage.repository.releaseMany([{ token: tokenOf(held), delayMs: 0 }]);
    const [again] = await stage.claim(queue);
    expect(String(again?.checkpoint)).toBe('c');
  });

  it('a lease that is dropped ends at once, and its session does not keep it', async () => {
    const { session, held } = await tiedOne();
    expect(await stage.repository.dropLeases([{ ...listed(held), session }])).toEqual([true]);
    expect(await beatOf(stage.repository, session, held)).toEqual([null]);
    expect(await expire()).toBe(1);
  });

  it('a session drops what nobody keeps or it keeps itself, and not what another one does', async () => {
    const { session, held } = await tiedOne();
    const other = await openSession(stage.repository);
    const loose = await stage.held(queue);
    const items = [held, loose].map((one) => ({ ...listed(one), session: other }));
    expect(await stage.repository.dropLeases(items)).toEqual([false, true]);
    expect(await stage.repository.dropLeases([{ ...listed(held), session: null }])).toEqual([false]);
    // Both at once, as when its worker has forgotten it on two streams.
    const both = [other, session].map((one) => ({ ...listed(held), session: one }));
    expect(await stage.repository.dropLeases(both)).toEqual([false, true]);
    expect(await expire()).toBe(2);
  });
});

describe('a session that lapsed', () => {
  it('is forgotten after a day, and not before', async () => {
    const session = await openSession(stage.repository);
    const rows = async () => (await stage.sql`select 1 from stint.session where id = ${session}`).length;
    stage.clock.advance(SESSION_MS + 86_400_000 - 1);
    await stage.repository.pruneExpired();
    expect(await rows()).toBe(1);
    stage.clock.advance(1);
    await stage.repository.pruneExpired();
    expect(await rows()).toBe(0);
  });

  it('and that nobody remembers keeps nothing: its leases end by their own time', async () => {
    const { session, held } = await tiedOne();
    await stage.sql`delete from stint.session where id = ${session}`;
    expect(await beatOf(stage.repository, session, held)).toBeNull();
    stage.clock.advance(SESSION_MS + GRACE_MS - 1);
    expect(await expire()).toBe(0);
    stage.clock.advance(1);
    expect(await expire()).toBe(1);
  });
});
