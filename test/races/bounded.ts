/** Many who enqueue, claim and settle on bounded queues side by side, and a stranger who looks on. */
import type { Sql } from 'postgres';
import { expect } from 'vitest';
import type { Failure, JobId } from '../../src/domain/job.ts';
import type { LeaseToken } from '../../src/domain/lease.ts';
import type { Queue, RateLimit } from '../../src/domain/queue.ts';
import type { ClaimedJob, Repository } from '../../src/engine/ports/repository.ts';
import { StoreError } from '../../src/engine/ports/store-error.ts';
import { slot, type Stage, tokenOf } from '../engine/stage.ts';

type Settling = 'ack' | 'fail' | 'fail_for_good' | 'release' | 'release_later' | 'suspend';

/** What one does next; with those that a lane holds, and those that it has ended or put aside. */
export type Deed =
  | { readonly kind: 'enqueue' | 'enqueue_later'; readonly count: number }
  | { readonly kind: 'claim'; readonly count: number; readonly start: boolean }
  | { readonly kind: Settling }
  | { readonly kind: 'resume' | 'cancel' | 'retry' | 'sweep' };

const BROKEN: Failure = { code: 'broken', message: '', details: new Uint8Array(), kind: 'TERMINAL' };
/** So soon that a sweep of the same test finds it due. */
const SOON_MS = 5;

interface LaneParts {
  readonly stage: Stage;
  readonly repository: Repository;
  readonly queues: readonly Queue[];
  /** How often it tries what another's lock undid. An operation on several jobs that move meanwhile may meet others in a circle. */
  readonly tries: number;
}

/** One of those who act: on one replica, with what it holds. */
export class Lane {
  readonly #stage: Stage;
  readonly #repository: Repository;
  readonly #queues: readonly Queue[];
  readonly #tries: number;
  /** Jobs that a queue did not let in. */
  refused = 0;
  claimed = 0;
  readonly #own: JobId[] = [];
  #held: ClaimedJob[] = [];
  #suspended: JobId[] = [];

  constructor({ stage, repository, queues, tries }: LaneParts) {
    this.#stage = stage;
    this.#repository = repository;
    this.#queues = queues;
    this.#tries = tries;
  }

  async act(deeds: readonly Deed[]): Promise<void> {
    for (const deed of deeds) await this.#again(deed);
  }

  async #again(deed: Deed): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        await this.#do(deed);
        return;
      } catch (error) {
        if (tries === this.#tries || !(error instanceof StoreError) || error.kind !== 'conflict') throw error;
      }
    }
  }

  /** Ends all that it holds. */
  async letGo(): Promise<void> {
    const held = this.#held.splice(0);
    await this.#repository.startMany(held.map((one) => ({ token: tokenOf(one) })));
    await this.#repository.ackMany(held.map((one) => ({ token: tokenOf(one), result: new Uint8Array(), contentType: '' })));
  }

  async #do(deed: Deed): Promise<unknown> {
    switch (deed.kind) {
      case 'enqueue':
        return await this.#enqueue(deed.count, null);
      case 'enqueue_later':
        return await this.#enqueue(deed.count, (Date.now() + SOON_MS) * 1_000);
      case 'claim':
        return await this.#claim(deed.count, deed.start);
      case 'sweep':
        return await Promise.all([this.#repository.promoteDue(), this.#repository.expireLeases()]);
      case 'resume':
        return await this.#repository.resumeMany(this.#asked(this.#suspended.splice(0, 2)));
      case 'cancel':
        return await this.#repository.cancelMany(this.#asked(this.#own.slice(-2)));
      case 'retry':
        return await this.#repository.retryMany(this.#asked(this.#own.slice(0, 3)));
      default:
        return await this.#settle(deed.kind);
    }
  }

  /** One to each queue in turn, in one batch. */
  async #enqueue(count: number, runAt: number | null): Promise<void> {
    const items = Array.from({ length: count }, (_, index) =>
      this.#stage.item(this.#queues[index % this.#queues.length] ?? expect.unreachable(), { runAt }),
    );
    const outcomes = await this.#repository.enqueueMany(items);
    outcomes.forEach((outcome) => {
      if (outcome.kind === 'enqueued') this.#own.push(outcome.job.jobId);
      else this.refused += 1;
    });
  }

  async #claim(maxJobs: number, startOnClaim: boolean): Promise<void> {
    const { jobs } = await this.#repository.claim(this.#queues, [slot({ maxJobs, startOnClaim })]);
    this.claimed += jobs.flat().length;
    this.#held.push(...jobs.flat());
  }

  /** What it settles it lets go of only then: a race that was lost is run again on the same. */
  async #settle(kind: Settling): Promise<void> {
    const held = this.#held.slice(0, 2);
    await this.#settleThese(
      kind,
      held.map((one) => ({ token: tokenOf(one) })),
    );
    this.#held.splice(0, held.length);
    if (kind === 'suspend') this.#suspended.push(...held.map(({ job }) => job.jobId));
  }

  async #settleThese(kind: Settling, items: readonly { readonly token: LeaseToken }[]): Promise<unknown> {
    if (kind === 'release' || kind === 'release_later')
      return await this.#repository.releaseMany(items.map((item) => ({ ...item, delayMs: kind === 'release' ? 0 : SOON_MS })));
    // What was not started cannot be settled otherwise.
    await this.#repository.startMany(items);
    if (kind === 'ack')
      return await this.#repository.ackMany(items.map((item) => ({ ...item, result: new Uint8Array(), contentType: '' })));
    if (kind === 'suspend') return await this.#repository.suspendMany(items.map((item) => ({ ...item, checkpoint: null, reason: '' })));
    const failure = { ...BROKEN, kind: kind === 'fail' ? 'RETRYABLE' : 'TERMINAL' } as const;
    return await this.#repository.failMany(items.map((item) => ({ ...item, failure, retryAfterMs: SOON_MS, jitterFactor: 1 })));
  }

  #asked(ids: readonly JobId[]) {
    return ids.map((jobId) => ({ namespace: this.#queues[0]?.namespace ?? '', jobId, request: null, reason: '' }));
  }
}

/** The most that a stranger saw at once in a queue. */
export interface Seen {
  inFlight: number;
  waiting: number;
  together: number;
}

/** Counts tokens with plain SQL, one snapshot after the other, from `begin` until `end`. */
export class Onlooker {
  readonly #seen = new Map<number, Seen>();
  readonly #watching: Promise<void>;
  #ended = false;
  looks = 0;

  private constructor(sql: Sql, ids: readonly number[]) {
    this.#watching = this.#watch(sql, ids);
    // Told by `end`.
    this.#watching.catch(() => undefined);
  }

  static begin(sql: Sql, queues: readonly Pick<Queue, 'id'>[]): Onlooker {
    return new Onlooker(
      sql,
      queues.map(({ id }) => id),
    );
  }

  async end(): Promise<ReadonlyMap<number, Seen>> {
    this.#ended = true;
    await this.#watching;
    return this.#seen;
  }

  async #watch(sql: Sql, ids: readonly number[]): Promise<void> {
    while (!this.#ended) {
      const rows = await sql<{ id: number; in_flight: number; waiting: number }[]>`
        select q.id, (select count(*)::int from stint.lease l where l.queue_id = q.id) as in_flight,
            (select count(*)::int from stint.ready r where r.queue_id = q.id) + (select count(*)::int from stint.deferred d where d.queue_id = q.id)
              + (select count(*)::int from stint.parked k where k.queue_id = q.id) as waiting
          from unnest(${[...ids]}::int[]) as q(id)`;
      for (const { id, in_flight: inFlight, waiting } of rows) {
        const most = this.#seen.get(id) ?? { inFlight: 0, waiting: 0, together: 0 };
        most.inFlight = Math.max(most.inFlight, inFlight);
        most.waiting = Math.max(most.waiting, waiting);
        most.together = Math.max(most.together, inFlight + waiting);
        this.#seen.set(id, most);
      }
      this.looks += 1;
    }
  }
}

/** Instants of all claims of a queue, in milliseconds, ascending. */
export async function claimTimes(sql: Sql, { id }: Queue): Promise<readonly number[]> {
  const rows = await sql<{ at: number }[]>`
    select extract(epoch from claimed_at)::float8 * 1000 as at from stint.lease where queue_id = ${id}
    union all
    select extract(epoch from a.claimed_at)::float8 * 1000 from stint.attempt a join stint.job j on j.shard = 0 and j.id = a.job where j.queue_id = ${id}
    order by at`;
  return rows.map(({ at }) => at);
}

/** The most by which the claims of any stretch of time pass what its limit gives in it; below 0 where none does. */
export function mostPastRate(times: readonly number[], { permits, periodMs, burst }: RateLimit): number {
  let most = -Infinity;
  times.forEach((from, first) => {
    for (let last = first; last < times.length; last += 1) {
      const elapsedMs = (times[last] ?? from) - from;
      most = Math.max(most, last - first + 1 - burst - (elapsedMs * permits) / periodMs);
    }
  });
  return most;
}
