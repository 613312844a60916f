/** Several replicas that give positions to jobs of the same keys at the same time. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobId } from '../../src/domain/job.ts';
import type { Queue, QueueSettings } from '../../src/domain/queue.ts';
import type { Repository } from '../../src/engine/ports/repository.ts';
import type { FairPlace } from '../../src/engine/ports/upkeep.ts';
import { idsOf, PATIENT, Stage } from '../engine/stage.ts';

let stage: Stage;
let queue: Queue;
let replicas: readonly [Repository, Repository];
beforeAll(async () => {
  stage = await Stage.open();
  replicas = [await stage.another({ settings: PATIENT }), await stage.another({ settings: PATIENT })];
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

const KEYS = ['', 'a', 'b', 'c', 'd'];

/** Calls of each replica, one after the other; the ids of each call, by key. */
async function enqueueOn(
  repository: Repository,
  calls: number,
  keys: readonly string[],
  told = {},
): Promise<readonly Map<string, JobId[]>[]> {
  const laid: Map<string, JobId[]>[] = [];
  for (let call = 0; call < calls; call += 1) {
    const items = Array.from({ length: 40 }, (_, n) => stage.item(queue, { fairnessKey: keys[n % keys.length] ?? '', ...told }));
    const outcomes = await repository.enqueueMany(items);
    const ids = new Map<string, JobId[]>();
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.kind !== 'enqueued') throw new Error(`not enqueued: ${outcome.kind}`);
      const key = items[index]?.spec.fairnessKey ?? '';
      ids.set(key, [...(ids.get(key) ?? []), outcome.job.jobId]);
    }
    laid.push(ids);
  }
  return laid;
}

describe('two replicas that enqueue jobs of the same keys', () => {
  it('in opposite orders do not deadlock, lose nothing, and keep the order of what each was answered', { timeout: 120_000 }, async () => {
    const orders = [KEYS, KEYS.toReversed(), KEYS, KEYS.toReversed()];
    const laid = await Promise.all(orders.map((keys, n) => enqueueOn(replicas[n % 2] ?? expect.unreachable(), 25, keys)));
    const given = await claimAll();
    expect(given).toHaveLength(4 * 25 * 40);
    expect(new Set(given).size).toBe(given.length);
    const place = new Map(given.map((id, index) => [id, index]));
    for (const calls of laid) {
      // The empty key begins with the first key of the queue: those who were on their way then took plain positions.
      for (const key of KEYS.slice(1)) {
        const ids = calls.flatMap((call) => call.get(key) ?? []);
        expect(ids.map((id) => place.get(id) ?? -1)).toEqual(ids.map((id) => place.get(id) ?? -1).toSorted((x, y) => x - y));
      }
    }
    expect(await deadlocks()).toBe(0);
  });

  it('and one of them is swept meanwhile: no job of a key overtakes another', { timeout: 120_000 }, async () => {
    let done = false;
    const sweeping = (async () => {
      let after: FairPlace | null = null;
      while (!done) after = (await stage.repository.sweepFairKeys(after)).next;
    })();
    const given: JobId[] = [];
    const [laid] = await Promise.all([enqueueOn(replicas[0], 40, KEYS), claiming(given)]);
    done = true;
    await sweeping;
    given.push(...(await claimAll()));
    const place = new Map(given.map((id, index) => [id, index]));
    for (const key of KEYS) {
      const places = laid.flatMap((call) => call.get(key) ?? []).map((id) => place.get(id) ?? -1);
      expect(places, `key ${key}`).toEqual(places.toSorted((x, y) => x - y));
    }
  });

  async function claiming(given: JobId[]): Promise<void> {
    for (let round = 0; round < 60; round += 1) given.push(...idsOf(await stage.claim(queue, { maxJobs: 30 })));
  }

  it('beside due jobs of these keys, in a bounded queue, do not deadlock', { timeout: 120_000 }, async () => {
    const { namespace, name } = queue;
    const change = (former: QueueSettings) => ({ settings: { ...former, maxQueued: 1_000_000 } });
    await stage.repository.putQueue({ namespace, name, change, actor: 'test', request: null });
    await enqueueOn(replicas[0], 20, KEYS, { runAt: stage.now + 1_000 });
    stage.clock.advance(1_000);
    await Promise.all([
      enqueueOn(replicas[0], 20, KEYS),
      enqueueOn(replicas[1], 20, KEYS.toReversed()),
      promoting(replicas[0]),
      promoting(replicas[1]),
    ]);
    expect(await claimAll()).toHaveLength(3 * 20 * 40);
    expect(await deadlocks()).toBe(0);
    expect(await stage.violations(namespace)).toEqual([]);
  });

  async function promoting(repository: Repository): Promise<void> {
    for (let more = true; more;) more = (await repository.promoteDue()).more;
  }

  async function claimAll(): Promise<JobId[]> {
    const given: JobId[] = [];
    for (;;) {
      const some = idsOf(await stage.claim(queue, { maxJobs: 1_000 }));
      if (some.length === 0) return given;
      given.push(...some);
    }
  }

  async function deadlocks(): Promise<number> {
    await stage.sql`select pg_stat_force_next_flush()`;
    const [row] = await stage.sql<{ deadlocks: number }[]>`select deadlocks::int from pg_stat_database where datname = current_database()`;
    return row?.deadlocks ?? -1;
  }
});
