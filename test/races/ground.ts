/** Many jobs of one queue on two replicas, for those who race over them. */
import { expect } from 'vitest';
import type { Failure, JobId, JobSpec } from '../../src/domain/job.ts';
import type { Queue } from '../../src/domain/queue.ts';
import type { ClaimedJob, ReasonItem, Repository } from '../../src/engine/ports/repository.ts';
import { Database } from '../../src/repository/database.ts';
import { operate, type Operation } from '../../src/repository/jobs/operate.ts';
import { expireLeases } from '../../src/repository/upkeep/expire-leases.ts';
import { idsOf, PATIENT, slot, Stage, tokenOf } from '../engine/stage.ts';
import { openTransaction } from './open-transaction.ts';

export const JOBS = 120;
const BATCH = 10;
/** Smaller than a real round's, so that others come between. */
const SWEEP_BATCH = 7;
export const SECOND_MS = 1_000;

const TERMINAL: Failure = { code: 'broken', message: '', details: new Uint8Array(), kind: 'TERMINAL' };
const RETRYABLE: Failure = { ...TERMINAL, kind: 'RETRYABLE' };

const ENDS = ['succeeded', 'failed', 'cancelled', 'abandoned'];

export class Ground {
  readonly stage: Stage;
  /** Two replicas by the played clock. */
  readonly here: Repository;
  readonly there: Repository;
  #queue: Queue | null = null;

  private constructor(stage: Stage, here: Repository, there: Repository) {
    this.stage = stage;
    this.here = here;
    this.there = there;
  }

  static async open(): Promise<Ground> {
    const stage = await Stage.open();
    return new Ground(stage, await stage.another({ settings: PATIENT }), await stage.another({ settings: PATIENT }));
  }

  /** A queue that no other test uses; what a former test left in flight is ended, so that sweepers find their own only. */
  async renew(): Promise<void> {
    this.#queue = await this.stage.queue();
    await (await this.ahead(3_600 * SECOND_MS)).expireLeases();
  }

  get queue(): Queue {
    return this.#queue ?? expect.unreachable();
  }

  close(): Promise<void> {
    return this.stage.close();
  }

  /** A replica whose time stands ahead. */
  ahead(milliseconds: number): Promise<Repository> {
    return this.stage.another({ settings: PATIENT, clock: { now: () => new Date(this.stage.clock.now().getTime() + milliseconds) } });
  }

  async enqueueMany(told: Partial<JobSpec> = {}): Promise<readonly JobId[]> {
    return await this.stage.enqueue(this.queue, ...Array.from({ length: JOBS }, () => told));
  }

  async holdMany(told: Partial<JobSpec> = {}): Promise<readonly ClaimedJob[]> {
    await this.enqueueMany(told);
    return await this.stage.claim(this.queue, { maxJobs: JOBS, leaseDurationMs: 60 * SECOND_MS });
  }

  async suspendedMany(): Promise<readonly JobId[]> {
    const held = await this.holdMany();
    await this.here.suspendMany(held.map((one) => ({ token: tokenOf(one), checkpoint: null, reason: '' })));
    return idsOf(held);
  }

  async failedMany(): Promise<readonly JobId[]> {
    const held = await this.holdMany();
    await this.here.failMany(held.map((one) => ({ token: tokenOf(one), failure: TERMINAL, retryAfterMs: null, jitterFactor: 1 })));
    return idsOf(held);
  }

  /** Claims a few at a time, with others in between. */
  async claimInTurns(): Promise<readonly ClaimedJob[]> {
    const claimed: ClaimedJob[] = [];
    for (let turn = 0; turn < 15; turn += 1) {
      const { jobs } = await this.here.claim([this.queue], [slot({ maxJobs: 5 })]);
      claimed.push(...jobs.flat());
    }
    return claimed;
  }

  asking(ids: readonly JobId[], reason = ''): readonly ReasonItem[] {
    return ids.map((jobId) => ({ namespace: this.queue.namespace, jobId, request: null, reason }));
  }

  /** What was asked, done and not committed yet. */
  openly<Item extends ReasonItem, Outcome extends string>(items: readonly Item[], operation: Operation<Item, Outcome>) {
    const now = this.stage.clock.now().toISOString();
    return openTransaction(this.stage.database.url, (run) => operate({ transaction: (work) => work(run) }, now, items, operation));
  }

  /** Two sweepers side by side, whose time stands ahead, until nothing is left: how many leases they ended. */
  async sweepTwice(milliseconds: number): Promise<number> {
    const now = new Date(this.stage.clock.now().getTime() + milliseconds).toISOString();
    const [one, other] = await Promise.all([this.#sweep('one sweeper', now), this.#sweep('another sweeper', now)]);
    return one + other;
  }

  async #sweep(applicationName: string, now: string): Promise<number> {
    const database = new Database({ url: `${this.stage.database.url}?${PATIENT}`, connections: 1, applicationName, settings: 'hot' });
    let ended = 0;
    for (let passed = -1; passed < ended;) {
      passed = ended;
      ended += (await expireLeases(database.run, now, SWEEP_BATCH, () => 1)).count;
    }
    await database.close();
    return ended;
  }

  /** Each job has its events without a gap, the end of each life once, and nothing that must not be is stored. Types of each. */
  async soundHistories(ids: readonly JobId[]): Promise<readonly (readonly string[])[]> {
    expect(await this.stage.violations(this.queue.namespace)).toEqual([]);
    return await Promise.all(
      ids.map(async (jobId) => {
        const events = (await this.stage.repository.history(jobId, 0, 1_000))?.events ?? [];
        expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, index) => index + 1));
        const ends = events.filter(({ detail }) => ENDS.includes(detail.type));
        expect(new Set(ends.map(({ life }) => life)).size).toBe(ends.length);
        return events.map(({ detail }) => detail.type);
      }),
    );
  }
}

export const acks = (held: readonly ClaimedJob[]) =>
  held.map((one) => ({ token: tokenOf(one), result: Buffer.from('r'), contentType: '' }));
export const fails = (held: readonly ClaimedJob[]) =>
  held.map((one) => ({ token: tokenOf(one), failure: RETRYABLE, retryAfterMs: 60 * SECOND_MS, jitterFactor: 1 }));

/** In batches side by side, positional over all. */
export async function inBatches<Item, Outcome>(items: readonly Item[], send: (batch: readonly Item[]) => Promise<readonly Outcome[]>) {
  const batches = Array.from({ length: Math.ceil(items.length / BATCH) }, (_, index) => items.slice(index * BATCH, (index + 1) * BATCH));
  return (await Promise.all(batches.map(send))).flat();
}

/** The same from the other end, so that neighbours meet from both sides. */
export async function fromBehind<Item, Outcome>(items: readonly Item[], send: (batch: readonly Item[]) => Promise<readonly Outcome[]>) {
  return (await inBatches(items.toReversed(), send)).toReversed();
}

export const lastOf = (histories: readonly (readonly string[])[]) => histories.map((types) => types.at(-1));
export const count = (kinds: readonly unknown[], kind: unknown) => kinds.filter((one) => one === kind).length;
export const outcomeOf = (one: { readonly kind: string; readonly outcome?: string }) => one.outcome ?? one.kind;
