import { randomBytes } from 'node:crypto';
import { durationOfMs } from '../../../examples/duration.ts';
import type { JobSpec } from '../../../gen/stint/v1/job.ts';
import { EnqueueBatchRequest, EnqueueRequest } from '../../../gen/stint/v1/job_service.ts';
import type { EnqueueTold } from '../history/record.ts';
import type { Program } from './program.ts';
import { type ItemEnd, NO_ITEM, onlyOf } from './recorder.ts';

/** A job to be, as every try of it tells it. */
export interface Wish {
  readonly mark: string;
  readonly queue: string;
  readonly priority: number;
  readonly jobId: string | null;
  readonly key: string | null;
  readonly content: string;
  readonly delayMs: number;
  readonly maxAttempts: number;
}

/** The label that carries the mark. */
export const MARK_LABEL = 'mark';

const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 1_000;

/** One try to enqueue one job. */
export async function enqueue({ settings, pool, recorder }: Program, wish: Wish): Promise<ItemEnd<EnqueueTold>> {
  const { replica, jobs } = pool.next();
  const request = EnqueueRequest.fromPartial({ namespace: settings.namespace, job: specOf(wish) });
  const ends = await recorder.try(jobs.enqueue.bind(jobs), request, {
    rpc: 'Enqueue',
    replica,
    asks: [askOf(wish)],
    read: ({ job, deduplicated }) => [{ outcome: 'ok', told: { jobId: job?.jobId ?? '', deduplicated } }],
  });
  return onlyOf(ends);
}

/** One try to enqueue several, each taken or refused by itself. */
export async function enqueueBatch(
  { settings, pool, recorder }: Program,
  wishes: readonly Wish[],
): Promise<readonly ItemEnd<EnqueueTold>[]> {
  const { replica, jobs } = pool.next();
  const request = EnqueueBatchRequest.fromPartial({ namespace: settings.namespace, jobs: wishes.map(specOf) });
  return await recorder.try(jobs.enqueueBatch.bind(jobs), request, {
    rpc: 'EnqueueBatch',
    replica,
    asks: wishes.map(askOf),
    read: ({ results }) =>
      results.map(({ result, deduplicated }): ItemEnd<EnqueueTold> => {
        if (result === undefined) return NO_ITEM;
        if (result.$case === 'error') return recorder.judgeItem('EnqueueBatch', replica, result.error);
        return { outcome: 'ok', told: { jobId: result.job.jobId, deduplicated } };
      }),
  });
}

export function randomContent(): string {
  return randomBytes(12).toString('hex');
}

function askOf({ mark, queue, priority, jobId, key, content, delayMs }: Wish) {
  return { op: 'enqueue', mark, queue, priority, jobId, key, content, delayMs } as const;
}

function specOf(wish: Wish): Parameters<typeof JobSpec.fromPartial>[0] {
  return {
    queue: wish.queue,
    type: 'load',
    payload: Buffer.from(wish.content),
    jobId: wish.jobId ?? '',
    idempotencyKey: wish.key ?? '',
    priority: wish.priority,
    labels: { [MARK_LABEL]: wish.mark },
    retry: {
      maxAttempts: wish.maxAttempts,
      initialBackoff: durationOfMs(FIRST_BACKOFF_MS),
      maxBackoff: durationOfMs(LONGEST_BACKOFF_MS),
    },
    ...(wish.delayMs === 0 ? {} : { runAt: durationOfMs(Date.now() + wish.delayMs) }),
  };
}
