/** Replicas whose own clocks are wrong: the database's is the only one that decides. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Queue } from '../../src/domain/queue.ts';
import { DATABASE_CLOCK } from '../../src/engine/ports/clock.ts';
import type { Repository } from '../../src/engine/ports/repository.ts';
import { idsOf, slot, Stage, tokenOf } from '../engine/stage.ts';

const HOUR_MS = 3_600_000;

let stage: Stage;
let queue: Queue;
let replica: Repository;
beforeAll(async () => {
  stage = await Stage.open();
  replica = await stage.another({ clock: DATABASE_CLOCK });
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterEach(() => {
  vi.useRealTimers();
});
afterAll(() => stage.close());

/** What this process takes for the time: so far from the right one. */
function setClock(aheadMs: number): void {
  vi.useRealTimers();
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + aheadMs });
}

describe('a replica whose clock is wrong', () => {
  it('by an hour too fast ends no lease that is live, and promotes no job before its time', async () => {
    const [scheduled] = await stage.enqueue(queue, { runAt: stage.now + 600_000_000 });
    await stage.enqueue(queue, {});
    const { jobs } = await replica.claim([queue], [slot()]);
    const [held] = jobs;
    setClock(HOUR_MS);
    await replica.expireLeases();
    await replica.promoteDue();
    expect(
      (await replica.getJobs([...idsOf(held ?? []), ...(scheduled === undefined ? [] : [scheduled])])).map((job) => job?.state),
    ).toEqual(['RUNNING', 'SCHEDULED']);
  });

  it.each([
    ['too slow', -HOUR_MS],
    ['too fast', HOUR_MS],
  ])('by an hour %s grants leases that every other replica holds for live, and that end in time', async (_how, aheadMs) => {
    await stage.enqueue(queue, {});
    setClock(aheadMs);
    const { jobs } = await replica.claim([queue], [slot({ leaseDurationMs: 60_000 })]);
    const [held] = jobs;
    const databaseTime = await replica.databaseTime();
    setClock(0);
    const [lease] = held ?? [];
    if (lease === undefined) throw new Error('nothing was claimed');
    const leftMs = (lease.lease.expiresAt - databaseTime) / 1_000;
    expect(leftMs).toBeGreaterThan(0);
    expect(leftMs).toBeLessThanOrEqual(60_000);
    expect(Math.abs(databaseTime / 1_000 - Date.now())).toBeLessThan(HOUR_MS / 2);
    expect(await replica.ackMany([{ token: tokenOf(lease), result: new Uint8Array(), contentType: '' }])).toMatchObject([
      { kind: 'applied' },
    ]);
  });
});
