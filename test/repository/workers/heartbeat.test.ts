import { randomUUID } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Queue } from '../../../src/domain/queue.ts';
import type { ClaimedJob } from '../../../src/engine/ports/repository.ts';
import { Database } from '../../../src/repository/database.ts';
import { statement } from '../../../src/repository/statement.ts';
import { heartbeatMany } from '../../../src/repository/workers/heartbeat.ts';
import { Stage, tokenOf } from '../../engine/stage.ts';

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

const beat = (held: ClaimedJob, checkpoint: Uint8Array | null = null) => ({ token: tokenOf(held), checkpoint });
const lost = { kind: 'lease_lost' };

async function reclaimed(held: ClaimedJob): Promise<ClaimedJob> {
  await stage.repository.releaseMany([{ token: tokenOf(held), delayMs: 0 }]);
  const [again] = await stage.claim(queue);
  if (again === undefined) throw new Error('nothing was claimed');
  return again;
}

describe('a heartbeat', () => {
  it('renews the lease for its whole time, and tells no event', async () => {
    const held = await stage.held(queue, { claim: { leaseDurationMs: 7_000 } });
    stage.clock.advance(5_000);
    const expiresAt = stage.now + 7_000_000;
    expect(await stage.repository.heartbeatMany([beat(held)])).toEqual([
      { kind: 'renewed', expiresAt, ttlMs: 7_000, cancelDeadline: null, draining: false },
    ]);
    expect(await stage.job(held.job.jobId)).toEqual({ ...held.job, leaseExpiresAt: expiresAt });
  });

  it('renews within the grace, and revives nothing from its end on, though no sweep came by', async () => {
    const [first, second] = [await stage.held(queue), await stage.held(queue)];
    stage.clock.advance(34_999);
    expect(await stage.repository.heartbeatMany([beat(first)])).toMatchObject([{ kind: 'renewed' }]);
    stage.clock.advance(1);
    expect(await stage.repository.heartbeatMany([beat(second, Buffer.from('late')), beat(first)])).toMatchObject([
      lost,
      { kind: 'renewed' },
    ]);
    await stage.repository.expireLeases();
    expect((await stage.job(second.job.jobId)).state).toBe('RETRY_WAIT');
    expect(await stage.sql`select 1 from stint.checkpoint where job = ${second.job.jobId}`).toHaveLength(0);
  });

  it('of a stale token is lost, and answers in order', async () => {
    const held = await stage.held(queue);
    const token = tokenOf(held);
    const beats = [{ ...token, secret: randomUUID() }, token, { ...token, fence: token.fence - 1n }, token].map((one) => ({
      token: one,
      checkpoint: null,
    }));
    expect((await stage.repository.heartbeatMany(beats)).map(({ kind }) => kind)).toEqual([
      'lease_lost',
      'renewed',
      'lease_lost',
      'renewed',
    ]);
    expect(await stage.repository.heartbeatMany([])).toEqual([]);
  });

  it('that is lost tells why: settled by its holder, expired, or unknown', async () => {
    const [settled, swept] = [await stage.held(queue), await stage.held(queue)];
    await stage.repository.ackMany([{ token: tokenOf(settled), result: Buffer.from(''), contentType: '' }]);
    stage.clock.advance(36_000);
    await stage.repository.expireLeases();
    const unknown = { token: { ...tokenOf(settled), secret: randomUUID() }, checkpoint: null };
    const outcomes = await stage.repository.heartbeatMany([beat(settled), unknown, beat(swept), beat(settled)]);
    expect(outcomes).toEqual(['SETTLED', 'NOT_HELD', 'EXPIRED', 'SETTLED'].map((reason) => ({ kind: 'lease_lost', reason })));
  });

  it('that comes behind the end of the lease and before any sweep is told that it expired', async () => {
    const held = await stage.held(queue);
    stage.clock.advance(36_000);
    expect(await stage.repository.heartbeatMany([beat(held)])).toEqual([{ kind: 'lease_lost', reason: 'EXPIRED' }]);
  });

  it('stays on its page: a HOT update, with a checkpoint or without', async () => {
    const held = [];
    for (let count = 0; count < 5; count += 1) held.push(await stage.held(queue, { claim: { requestId: `r${count}` } }));
    // With a page as full as the table lets it be, ten of its rows have room to move.
    await stage.sql`vacuum stint.lease`;
    const own = new Database({ url: stage.database.url, connections: 1, applicationName: 'heartbeats', settings: 'hot' });
    const flush = statement<never>('flush-statistics', sql`select pg_stat_force_next_flush()`);
    const updates = async () => {
      await own.run(flush, {});
      const [row] =
        await stage.sql`select n_tup_upd::int as all, n_tup_hot_upd::int as hot from pg_stat_user_tables where relname = 'lease'`;
      return { all: Number(row?.['all']), hot: Number(row?.['hot']) };
    };
    try {
      const before = await updates();
      for (let round = 0; round < 2; round += 1) {
        await heartbeatMany(
          own.run,
          stage.clock.now().toISOString(),
          held.map((one, index) => beat(one, index % 2 === 0 ? Buffer.from('c') : null)),
        );
      }
      const after = await updates();
      expect(after.all - before.all).toBe(10);
      expect(after.hot - before.hot).toBe(10);
    } finally {
      await own.close();
    }
  });
});

describe('a checkpoint', () => {
  it('is handed to the next try, byte for byte', async () => {
    const held = await stage.held(queue);
    expect(held.checkpoint).toBeNull();
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    await stage.repository.heartbeatMany([beat(held, bytes)]);
    const again = await reclaimed(held);
    expect(Buffer.from(again.checkpoint ?? [])).toEqual(Buffer.from(bytes));
  });

  it('is the latest one, over several beats and several tries', async () => {
    const held = await stage.held(queue);
    await stage.repository.heartbeatMany([beat(held, Buffer.from('one'))]);
    await stage.repository.heartbeatMany([beat(held, Buffer.from('two'))]);
    await stage.repository.heartbeatMany([beat(held)]);
    const second = await reclaimed(held);
    expect(String(second.checkpoint)).toBe('two');
    const third = await reclaimed(second);
    expect(String(third.checkpoint)).toBe('two');
    await stage.repository.heartbeatMany([beat(third, Buffer.from('three'))]);
    expect(String((await reclaimed(third)).checkpoint)).toBe('three');
  });

  it('survives the lapse of the lease, and an empty one is one too', async () => {
    const held = await stage.held(queue);
    await stage.repository.heartbeatMany([beat(held, new Uint8Array())]);
    stage.clock.advance(36_000);
    await stage.repository.expireLeases();
    stage.clock.advance(1_000);
    await stage.repository.promoteDue();
    const [again] = await stage.claim(queue);
    expect(again?.checkpoint).toEqual(Buffer.alloc(0));
  });

  it('named twice in one batch is the last one that brings something', async () => {
    const held = await stage.held(queue);
    const beats = [beat(held, Buffer.from('a')), beat(held, Buffer.from('b')), beat(held)];
    expect(await stage.repository.heartbeatMany(beats)).toMatchObject([{ kind: 'renewed' }, { kind: 'renewed' }, { kind: 'renewed' }]);
    expect(String((await reclaimed(held)).checkpoint)).toBe('b');
  });

  it('of this very try is not told with the leases of its request: those are given again unchanged', async () => {
    const held = await stage.held(queue, { claim: { requestId: 'r' } });
    await stage.repository.heartbeatMany([beat(held, Buffer.from('c'))]);
    expect(await stage.repository.leasesOfRequest(queue.namespace, 'w', 'r')).toEqual([held]);
  });
});
