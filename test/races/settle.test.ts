/** Settlements, renewals and expiry that meet on the same leases. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Queue } from '../../src/domain/queue.ts';
import type { ClaimedJob, Repository } from '../../src/engine/ports/repository.ts';
import { Database, type Run } from '../../src/repository/database.ts';
import { expireLeases } from '../../src/repository/upkeep/expire-leases.ts';
import { ackMany } from '../../src/repository/workers/ack.ts';
import { heartbeatMany } from '../../src/repository/workers/heartbeat.ts';
import { releaseMany } from '../../src/repository/workers/release.ts';
import { idsOf, PATIENT, Stage, tokenOf } from '../engine/stage.ts';
import { openTransaction } from './open-transaction.ts';

const LEASE_MS = 30_000;
const GRACE_MS = 5_000;
const JITTER = 0.5;

let stage: Stage;
let queue: Queue;
let patient: Repository;
beforeAll(async () => {
  stage = await Stage.open();
  patient = await stage.another({ settings: PATIENT });
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

const acks = (held: readonly ClaimedJob[]) => held.map((one) => ({ token: tokenOf(one), result: Buffer.from('r'), contentType: '' }));

async function holdMany(count: number): Promise<readonly ClaimedJob[]> {
  await stage.enqueue(queue, ...Array.from({ length: count }, () => ({})));
  return stage.claim(queue, { maxJobs: count });
}

/** Played time so many milliseconds after the lease began, as a statement takes it. */
const after = (milliseconds: number) => new Date(stage.clock.now().getTime() + milliseconds).toISOString();
/** Whoever acts by the one clock is the last to find the lease live; by the other, the first to find it lapsed. */
const live = () => after(LEASE_MS + GRACE_MS - 1);
const lapsed = () => after(LEASE_MS + GRACE_MS);

/** The same storage by another clock: its time stands `milliseconds` ahead. */
const ahead = (milliseconds: number) =>
  stage.another({ settings: PATIENT, clock: { now: () => new Date(stage.clock.now().getTime() + milliseconds) } });

describe('an ack that meets the expiry of its lease', () => {
  it('waits for it, and is lost when it commits', async () => {
    const held = await holdMany(1);
    const expiry = await openTransaction(stage.database.url, (run) => expireLeases(run, lapsed(), 10, () => JITTER));
    expect(expiry.outcome.count).toBe(1);
    const early = await ahead(LEASE_MS + GRACE_MS - 1);
    const acked = early.ackMany(acks(held));
    await stage.waitingForLocks(1);
    await expiry.commit();
    expect(await acked).toEqual([{ kind: 'lease_lost' }]);
    expect((await stage.repository.getJobs(idsOf(held)))[0]).toMatchObject({ state: 'RETRY_WAIT', lastSequence: 4 });
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('waits for it, and is applied when it is undone', async () => {
    const held = await holdMany(1);
    const expiry = await openTransaction(stage.database.url, (run) => expireLeases(run, lapsed(), 10, () => JITTER));
    const acked = patient.ackMany(acks(held));
    await stage.waitingForLocks(1);
    await expiry.rollback();
    expect(await acked).toMatchObject([{ kind: 'applied', job: { state: 'SUCCEEDED' } }]);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('is passed over by it, and wins', async () => {
    const held = await holdMany(1);
    const ack = await openTransaction(stage.database.url, (run) => ackMany(run, live(), acks(held)));
    const late = await ahead(LEASE_MS + GRACE_MS);
    expect((await late.expireLeases()).count).toBe(0);
    await ack.commit();
    expect((await late.expireLeases()).count).toBe(0);
    expect((await stage.repository.getJobs(idsOf(held)))[0]).toMatchObject({ state: 'SUCCEEDED', lastSequence: 4 });
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('five hundred times over gives each lease to exactly one of them', async () => {
    const held = await holdMany(500);
    const [early, late] = await Promise.all([ahead(LEASE_MS + GRACE_MS - 1), ahead(LEASE_MS + GRACE_MS)]);
    const batches = Array.from({ length: 10 }, (_, index) => held.slice(index * 50, index * 50 + 50));
    const expiring = async () => {
      let expired = 0;
      for (let turn = 0; turn < 10; turn += 1) expired += (await late.expireLeases()).count;
      return expired;
    };
    const [expired, ...outcomes] = await Promise.all([expiring(), ...batches.map((batch) => early.ackMany(acks(batch)))]);
    const applied = outcomes.flat().filter(({ kind }) => kind === 'applied').length;
    expect(outcomes.flat().filter(({ kind }) => kind === 'lease_lost')).toHaveLength(expired);
    expect(applied + expired).toBe(500);
    const [row] =
      await stage.sql`select count(*)::int as ends from stint.terminal where job in (select id from stint.job where queue_id = ${queue.id})`;
    expect(row?.['ends']).toBe(applied);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });
});

describe('an ack that meets a start', () => {
  it('is applied, though the start commits between its first look and its second', async () => {
    await stage.enqueue(queue, {});
    const held = await stage.claim(queue, { startOnClaim: false });
    const database = new Database({ url: stage.database.url, connections: 1, applicationName: 'an ack', settings: 'hot' });
    const looks: string[] = [];
    const run: Run = async (statement, values) => {
      const rows = await database.run(statement, values);
      if (looks.push(statement.name) === 1) await stage.repository.startMany(held.map((one) => ({ token: tokenOf(one) })));
      return rows;
    };
    expect(await ackMany(run, after(0), acks(held))).toMatchObject([{ kind: 'applied', job: { state: 'SUCCEEDED', lastSequence: 4 } }]);
    expect(looks.filter((name) => name === 'ack')).toHaveLength(2);
    await database.close();
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });
});

describe('leases that lapse together', () => {
  it('come back apart: each draws a jitter of its own', async () => {
    const held = await holdMany(20);
    let drawn = 0;
    const expiry = await openTransaction(stage.database.url, (run) => expireLeases(run, lapsed(), 100, () => 0.5 + (drawn += 1) / 1_000));
    await expiry.commit();
    const due = (await stage.repository.getJobs(idsOf(held))).map((job) => job?.runAt);
    expect(new Set(due).size).toBe(20);
  });
});

describe('an ack that meets a heartbeat', () => {
  it('finds the lease where the heartbeat has moved it', async () => {
    const held = await holdMany(3);
    const beats = held.map((one) => ({ token: tokenOf(one), checkpoint: Buffer.from('c') }));
    const beat = await openTransaction(stage.database.url, (run) => heartbeatMany(run, after(1_000), beats));
    const acked = patient.ackMany(acks(held));
    await stage.waitingForLocks(1);
    await beat.commit();
    expect((await acked).map(({ kind }) => kind)).toEqual(['applied', 'applied', 'applied']);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });
});

describe('a heartbeat', () => {
  it('that is not committed yet keeps the lease from expiry, and renews it then', async () => {
    const held = await holdMany(1);
    const beats = held.map((one) => ({ token: tokenOf(one), checkpoint: null }));
    const beat = await openTransaction(stage.database.url, (run) => heartbeatMany(run, live(), beats));
    const late = await ahead(LEASE_MS + GRACE_MS);
    expect((await late.expireLeases()).count).toBe(0);
    await beat.commit();
    expect((await late.expireLeases()).count).toBe(0);
    expect((await stage.repository.getJobs(idsOf(held)))[0]?.state).toBe('RUNNING');
  });

  it('that waits for a release is lost, and does not touch the next holder', async () => {
    const held = await holdMany(1);
    const given = await openTransaction(stage.database.url, (run) =>
      releaseMany(
        run,
        after(0),
        held.map((one) => ({ token: tokenOf(one), delayMs: 0 })),
      ),
    );
    const renewed = patient.heartbeatMany(held.map((one) => ({ token: tokenOf(one), checkpoint: Buffer.from('late') })));
    await stage.waitingForLocks(1);
    await given.commit();
    expect(await renewed).toEqual([{ kind: 'lease_lost', reason: 'SETTLED' }]);
    const [next] = await stage.claim(queue);
    expect(next).toMatchObject({ job: { attempt: 1 }, checkpoint: null });
  });
});

describe('the same five hundred leases', () => {
  it('acked twice at once in opposite orders are acked once each, without a deadlock', async () => {
    for (let round = 0; round < 3; round += 1) {
      const held = await holdMany(500);
      const [forth, back] = await Promise.all([patient.ackMany(acks(held)), patient.ackMany(acks([...held].reverse()))]);
      const pairs = forth.map((outcome, index) => [outcome.kind, back[held.length - 1 - index]?.kind].sort().join());
      expect(new Set(pairs)).toEqual(new Set(['already_applied,applied']));
    }
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('acked, failed, released and renewed at once in different orders have one end each', async () => {
    const failure = { code: 'x', message: '', details: new Uint8Array(), kind: 'RETRYABLE' as const };
    const held = await holdMany(500);
    const back = [...held].reverse();
    const [acked, failed, released] = await Promise.all([
      patient.ackMany(acks(held)),
      patient.failMany(back.map((one) => ({ token: tokenOf(one), failure, retryAfterMs: 0, jitterFactor: 1 }))),
      patient.releaseMany(held.map((one) => ({ token: tokenOf(one), delayMs: 0 }))),
      patient.heartbeatMany(back.map((one) => ({ token: tokenOf(one), checkpoint: Buffer.from('c') }))),
    ]);
    const ends = held.map(
      (_, index) => [acked[index], failed[back.length - 1 - index], released[index]].filter((one) => one?.kind === 'applied').length,
    );
    expect(new Set(ends)).toEqual(new Set([1]));
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });
});
