/** A queue of a played clock whose jobs have a concurrency key, and the few words tests say to them. */
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import type { Failure, JobId, JobSpec } from '../../src/domain/job.ts';
import type { Queue } from '../../src/domain/queue.ts';
import type { ClaimedJob } from '../../src/engine/ports/repository.ts';
import { Stage, tokenOf } from '../engine/stage.ts';

export const SECOND_MS = 1_000;
export const LATER_MS = 10 * SECOND_MS;

class Keyed {
  #stage: Stage | undefined;
  #queue: Queue | undefined;

  get stage(): Stage {
    return this.#stage ?? expect.unreachable();
  }

  get queue(): Queue {
    return this.#queue ?? expect.unreachable();
  }

  async open(): Promise<void> {
    this.#stage = await Stage.open();
  }

  /** A queue that no other test uses. */
  async another(): Promise<void> {
    this.#queue = await this.stage.queue();
  }
}

export const keyed = new Keyed();

/** A fresh queue for each test of the calling file; sound after each. */
export function useKeys(): void {
  beforeAll(() => keyed.open());
  beforeEach(() => keyed.another());
  afterEach(async () => {
    expect(await keyed.stage.violations(keyed.queue.namespace)).toEqual([]);
  });
  afterAll(() => keyed.stage.close());
}

export const KEYED = { concurrencyKey: 'k' };
const BROKEN: Failure = { code: 'broken', message: '', details: new Uint8Array(), kind: 'TERMINAL' };
export const later = () => ({ runAt: keyed.stage.now + LATER_MS * 1_000 });
export const asked = (jobId: JobId) => ({ namespace: keyed.queue.namespace, jobId, request: null, reason: '' });

/** Of the key. */
export async function enqueued(told: Partial<JobSpec> = {}): Promise<JobId> {
  const [id] = await keyed.stage.enqueue(keyed.queue, { ...KEYED, ...told });
  return id ?? expect.unreachable();
}

export async function held(told: Partial<JobSpec> = {}): Promise<ClaimedJob> {
  const id = await enqueued(told);
  const [one] = await keyed.stage.claim(keyed.queue);
  expect(one?.job.jobId).toBe(id);
  return one ?? expect.unreachable();
}

export const ack = (one: ClaimedJob) =>
  keyed.stage.repository.ackMany([{ token: tokenOf(one), result: new Uint8Array(), contentType: '' }]);
export const failing = (one: ClaimedJob, throttleUntil: number | null = null, kind: Failure['kind'] = 'RETRYABLE') =>
  keyed.stage.repository.failMany([
    { token: tokenOf(one), failure: { ...BROKEN, kind }, retryAfterMs: LATER_MS, jitterFactor: 1, throttleUntil },
  ]);
export const release = (one: ClaimedJob, delayMs = 0) => keyed.stage.repository.releaseMany([{ token: tokenOf(one), delayMs }]);
export const suspend = (one: ClaimedJob) => keyed.stage.repository.suspendMany([{ token: tokenOf(one), checkpoint: null, reason: '' }]);
export const cancel = (jobId: JobId) => keyed.stage.repository.cancelMany([asked(jobId)]);
export const update = (jobId: JobId, change: { priority?: number; runAt?: number | null }) =>
  keyed.stage.repository.updateMany([{ namespace: keyed.queue.namespace, jobId, request: null, change }]);
export const states = (...ids: readonly JobId[]) => Promise.all(ids.map(async (id) => (await keyed.stage.job(id)).state));

export const after = async (milliseconds: number, round: () => Promise<unknown>) => {
  keyed.stage.clock.advance(milliseconds);
  await round();
};
/** What upkeep does of its own accord. */
export const upkeep = async () => {
  await keyed.stage.repository.promoteDue();
  await keyed.stage.repository.expireLeases();
  await keyed.stage.repository.timeOut();
  await keyed.stage.repository.unblock();
};
