import fc from 'fast-check';
import type { ReservedSql } from 'postgres';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { JobId } from '../../../src/domain/job.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { ClaimedJob, Repository } from '../../../src/engine/ports/repository.ts';
import { Database } from '../../../src/repository/database.ts';
import { dropFloors, moveFloors } from '../../../src/repository/upkeep/move-floors.ts';
import { idsOf, slot, Stage, tokenOf } from '../../engine/stage.ts';
import { enter } from '../../support/sql-door.ts';

const RUNS = 40;
const PRIORITIES = [-1, 0, 7];
/** Connections of strangers that enqueue and commit late. */
const STRANGERS = 2;

type Step =
  | { readonly kind: 'enqueue' | 'claim' | 'release' | 'reprioritize'; readonly count: number; readonly priority: number }
  | { readonly kind: 'enter' | 'commit' | 'rollback'; readonly stranger: number; readonly priority: number }
  | { readonly kind: 'move' | 'drop' };

const priority = fc.constantFrom(...PRIORITIES);
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constantFrom('enqueue', 'claim'), count: fc.integer({ min: 1, max: 4 }), priority }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constantFrom('release', 'reprioritize'), count: fc.integer({ min: 1, max: 2 }), priority }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('enter', 'commit', 'rollback'),
      stranger: fc.integer({ min: 0, max: STRANGERS - 1 }),
      priority,
    }),
  },
  { weight: 4, arbitrary: fc.constant({ kind: 'move' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'drop' as const }) },
);

let stage: Stage;
let database: Database;
let replicas: readonly Repository[];
beforeAll(async () => {
  stage = await Stage.open();
  database = new Database({ url: stage.database.url, connections: 1, applicationName: 'floors', settings: 'plain' });
  replicas = [stage.repository, await stage.another()];
});
afterAll(async () => {
  await database.close();
  await stage.close();
});

/** A queue, what is held of it, and strangers whose transactions are open. */
class Walk {
  readonly #queue: Queue;
  #held: readonly ClaimedJob[] = [];
  readonly #open = new Map<number, ReservedSql>();
  #turn = 0;

  constructor(queue: Queue) {
    this.#queue = queue;
  }

  async take(step: Step): Promise<void> {
    switch (step.kind) {
      case 'enqueue':
        await stage.enqueue(this.#queue, ...Array.from({ length: step.count }, () => ({ priority: step.priority })));
        return;
      case 'claim':
        return await this.claim(step.count);
      case 'release':
        return await this.#release(step.count);
      case 'reprioritize':
        return await this.#reprioritize(step.count, step.priority);
      case 'enter':
        return await this.#enter(step.stranger, step.priority);
      case 'commit':
      case 'rollback':
        return await this.#end(step.stranger, step.kind);
      case 'move':
        await moveFloors(database, PRIORITIES.map((one) => ({ queueId: this.#queue.id, rank: BigInt(-one) })).toReversed());
        return;
      case 'drop':
        return await dropFloors(database);
    }
  }

  /** Exactly what a look without floors sees at the head, in that order; by either replica. */
  async claim(count: number): Promise<void> {
    const head = await this.#head(count);
    const replica = replicas[(this.#turn += 1) % replicas.length] ?? stage.repository;
    const { jobs } = await replica.claim([this.#queue], [slot({ maxJobs: count })]);
    expect(jobs.map(idsOf)).toEqual([head]);
    this.#held = [...this.#held, ...jobs.flat()];
  }

  async end(): Promise<void> {
    for (const stranger of this.#open.keys()) await this.#end(stranger, 'commit');
    await this.claim(1_000);
    expect(await this.#head(1)).toEqual([]);
  }

  async #head(count: number): Promise<readonly JobId[]> {
    return (await stage.repository.peekQueue(this.#queue, count)).map(({ jobId }) => jobId);
  }

  async #release(count: number): Promise<void> {
    const [given, kept] = [this.#held.slice(0, count), this.#held.slice(count)];
    await stage.repository.releaseMany(given.map((one) => ({ token: tokenOf(one), delayMs: 0 })));
    this.#held = kept;
  }

  async #reprioritize(count: number, priority: number): Promise<void> {
    const items = (await this.#head(count)).map((jobId) => ({
      namespace: this.#queue.namespace,
      jobId,
      request: null,
      change: { priority },
    }));
    if (items.length > 0) await stage.repository.updateMany(items);
  }

  async #enter(stranger: number, priority: number): Promise<void> {
    const open = this.#open.get(stranger) ?? (await stage.sql.reserve());
    if (!this.#open.has(stranger)) await open`begin`;
    this.#open.set(stranger, open);
    await enter(open, { namespace: this.#queue.namespace, queue: this.#queue.name, payload: '\\x00', priority });
  }

  async #end(stranger: number, how: 'commit' | 'rollback'): Promise<void> {
    const open = this.#open.get(stranger);
    if (open === undefined) return;
    this.#open.delete(stranger);
    await (how === 'commit' ? open`commit` : open`rollback`);
    open.release();
  }
}

it('hides nothing: whatever is enqueued, released, changed or committed late is claimed in its order', { timeout: 240_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { minLength: 10, maxLength: 40 }), async (steps) => {
      const walk = new Walk(await stage.queue());
      try {
        for (const step of steps) await walk.take(step);
      } finally {
        await walk.end();
      }
    }),
    { numRuns: RUNS },
  );
});
