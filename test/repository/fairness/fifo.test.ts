/** FIFO within a key, whatever else happens: batches, releases, retries, promotion, updates, weights and sweeps in any order. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JobId } from '../../../src/domain/job.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { ClaimedJob } from '../../../src/engine/ports/repository.ts';
import type { FairPlace } from '../../../src/engine/ports/upkeep.ts';
import { Stage, tokenOf } from '../../engine/stage.ts';
import { weigh } from './ground.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
});
afterAll(() => stage.close());

type Step =
  | { readonly kind: 'enqueue'; readonly keys: readonly string[]; readonly priority: number; readonly delayed: boolean }
  | { readonly kind: 'claim'; readonly count: number }
  | { readonly kind: 'settle' | 'release' | 'retry' | 'suspend'; readonly pick: number }
  | { readonly kind: 'resume' | 'cancel' }
  | { readonly kind: 'promote' | 'sweep' }
  | { readonly kind: 'weigh'; readonly weight: number };

const key = fc.constantFrom('', 'a', 'b', 'c');
const pick = fc.nat(20);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('enqueue' as const),
      keys: fc.array(key, { minLength: 1, maxLength: 8 }),
      priority: fc.constantFrom(0, 0, 0, 1),
      delayed: fc.boolean(),
    }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('claim' as const), count: fc.integer({ min: 1, max: 6 }) }) },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constantFrom('settle' as const, 'release' as const, 'retry' as const, 'suspend' as const), pick }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('resume' as const, 'cancel' as const) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('promote' as const, 'sweep' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('weigh' as const), weight: fc.integer({ min: 1, max: 1_000 }) }) },
);

/** What the test knows of the backlog: the jobs of each priority and key, in the order in which they became READY. */
class Course {
  readonly #queue: Queue;
  readonly #lines = new Map<string, JobId[]>();
  readonly #places = new Map<JobId, { readonly line: string; readonly turn: number }>();
  readonly #held: ClaimedJob[] = [];
  readonly #suspended: JobId[] = [];
  #turn = 0;

  constructor(queue: Queue) {
    this.#queue = queue;
  }

  async take(told: Step): Promise<void> {
    if (told.kind === 'enqueue') await this.#enqueue(told);
    else if (told.kind === 'claim') await this.#claim(told.count);
    else if (told.kind === 'weigh') await weigh(stage, this.#queue, { b: told.weight });
    else if (told.kind === 'sweep') await sweepAll();
    else if (told.kind === 'promote') await this.#promote();
    else if (told.kind === 'resume' || told.kind === 'cancel') await this.#operate(told.kind);
    else if ('pick' in told) await this.#end(told.kind, told.pick);
  }

  async #enqueue({ keys, priority, delayed }: Extract<Step, { kind: 'enqueue' }>): Promise<void> {
    const runAt = delayed ? stage.now + 1_000_000 : null;
    const ids = await stage.enqueue(this.#queue, ...keys.map((fairnessKey) => ({ fairnessKey, priority, runAt })));
    for (const [index, id] of ids.entries()) {
      const line = `${priority}/${keys[index]}`;
      if (runAt === null) this.#ready(id, line);
      else this.#places.set(id, { line, turn: -1 });
    }
  }

  #ready(id: JobId, line: string): void {
    this.#places.set(id, { line, turn: (this.#turn += 1) });
    this.#lines.set(line, [...(this.#lines.get(line) ?? []), id]);
  }

  /** Whatever is given is the first of its line. */
  async #claim(count: number): Promise<void> {
    for (const one of await stage.claim(this.#queue, { maxJobs: count })) {
      const { line } = this.#places.get(one.job.jobId) ?? expect.unreachable();
      expect(one.job.jobId, `first of ${line}`).toBe(this.#lines.get(line)?.shift());
      this.#held.push(one);
    }
  }

  async #end(kind: 'settle' | 'release' | 'retry' | 'suspend', which: number): Promise<void> {
    const [one] = this.#held.splice(which % Math.max(1, this.#held.length), 1);
    if (one === undefined) return;
    const token = tokenOf(one);
    const { jobId } = one.job;
    const { line, turn } = this.#places.get(jobId) ?? expect.unreachable();
    if (kind === 'settle') await stage.repository.ackMany([{ token, result: Buffer.alloc(0), contentType: '' }]);
    if (kind === 'retry') {
      const failure = { code: 'x', message: '', details: Buffer.alloc(0), kind: 'RETRYABLE' } as const;
      await stage.repository.failMany([{ token, failure, retryAfterMs: 1_000, jitterFactor: 1 }]);
    }
    if (kind === 'suspend') {
      await stage.repository.suspendMany([{ token, checkpoint: null, reason: '' }]);
      this.#suspended.push(jobId);
    }
    if (kind === 'release') {
      await stage.repository.releaseMany([{ token, delayMs: 0 }]);
      const waiting = this.#lines.get(line) ?? [];
      const at = waiting.findIndex((other) => (this.#places.get(other)?.turn ?? 0) > turn);
      waiting.splice(at === -1 ? waiting.length : at, 0, jobId);
      this.#lines.set(line, waiting);
    }
  }

  async #operate(kind: 'resume' | 'cancel'): Promise<void> {
    const { namespace } = this.#queue;
    if (kind === 'resume') {
      const jobId = this.#suspended.shift();
      if (jobId === undefined) return;
      await stage.repository.resumeMany([{ namespace, jobId, reason: '', request: null }]);
      this.#ready(jobId, this.#places.get(jobId)?.line ?? expect.unreachable());
    } else {
      const waiting = [...this.#lines.values()].find((ids) => ids.length > 0);
      const jobId = waiting?.splice(Math.floor(waiting.length / 2), 1)[0];
      if (jobId !== undefined) await stage.repository.cancelMany([{ namespace, jobId, reason: '', request: null }]);
    }
  }

  /** What is due becomes READY in due order, which of jobs of one batch is that of their ids. */
  async #promote(): Promise<void> {
    stage.clock.advance(1_000);
    const due = await stage.sql<{ job: JobId }[]>`select job from stint.deferred where queue_id = ${this.#queue.id}
      and due_at <= ${new Date(stage.now / 1_000)} order by due_at, job`;
    await stage.repository.promoteDue();
    for (const { job } of due) this.#ready(job, this.#places.get(job)?.line ?? expect.unreachable());
  }
}

async function sweepAll(): Promise<void> {
  for (let after: FairPlace | null | undefined; after !== null;) after = (await stage.repository.sweepFairKeys(after ?? null)).next;
}

describe('the jobs of a key', () => {
  it('are given in the order in which they became READY, whatever happens', { timeout: 240_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (steps) => {
        const course = new Course(await stage.queue());
        for (const one of steps) await course.take(one);
        await course.take({ kind: 'claim', count: 1_000 });
      }),
      { numRuns: 60 },
    );
  });
});
