/** A statement that takes so many takes no more, however the planner joins: what is run again in a loop must not take again. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Queue } from '../../src/domain/queue.ts';
import { Database } from '../../src/repository/database.ts';
import { expireLeases } from '../../src/repository/upkeep/expire-leases.ts';
import { promoteDue } from '../../src/repository/upkeep/promote-due.ts';
import { claim } from '../../src/repository/workers/claim.ts';
import { idsOf, slot, Stage } from '../engine/stage.ts';

/** Leaves nested loops, and nothing that would keep what their inner side has found. */
const NESTED_LOOPS = ['hashjoin', 'mergejoin', 'hashagg', 'sort', 'tidscan', 'material', 'memoize']
  .map((name) => `enable_${name}=off`)
  .join('&');

let stage: Stage;
let queue: Queue;
let looping: Database;
beforeAll(async () => {
  stage = await Stage.open();
  looping = new Database({ url: `${stage.database.url}?${NESTED_LOOPS}`, connections: 1, applicationName: 'loops', settings: 'plain' });
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(async () => {
  await looping.close();
  await stage.close();
});

const now = () => stage.clock.now().toISOString();
const many = (told = {}) => Array.from({ length: 100 }, () => told);

describe('under nested loops alone', () => {
  it('a claim takes what is wanted, and no more', async () => {
    const other = await stage.queue();
    const ids = await stage.enqueue(queue, ...many());
    await stage.enqueue(other, ...many());
    const one = await claim(looping.run, now(), [queue], [slot({ maxJobs: 3 }), slot({ maxJobs: 4 })]);
    expect(one.jobs.map(idsOf)).toEqual([ids.slice(0, 3), ids.slice(3, 7)]);
    const two = await claim(looping.run, now(), [queue, other], [slot({ maxJobs: 5 })]);
    expect(two.jobs.map(idsOf)).toEqual([ids.slice(7, 12)]);
    const [row] = await stage.sql`select count(*)::int as leases from stint.lease where queue_id in (${queue.id}, ${other.id})`;
    expect(row).toEqual({ leases: 12 });
  });

  it('a round of promotion takes a round, and no more', async () => {
    await stage.enqueue(queue, ...many({ runAt: stage.now + 1_000_000 }));
    stage.clock.advance(1_000);
    expect(await promoteDue(looping.run, now(), 10)).toMatchObject({ count: 10, more: true });
    expect(await stage.repository.peekQueue(queue, 100)).toHaveLength(10);
  });

  it('a round of expiry takes a round, and no more', async () => {
    await stage.enqueue(queue, ...many());
    await stage.claim(queue, { maxJobs: 100 });
    stage.clock.advance(60_000);
    const leases = async () => (await stage.sql`select 1 from stint.lease`).length;
    const before = await leases();
    expect(await expireLeases(looping.run, now(), 10, () => 1)).toMatchObject({ count: 10, more: true });
    expect(await leases()).toBe(before - 10);
  });
});
