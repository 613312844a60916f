import { DISPOSITION_CODES, jobSizeBytes } from '../../domain/job.ts';
import type { EnqueueItem } from '../../engine/ports/repository.ts';
import { byteaArray, plainArray, textArray } from '../array.ts';
import type { Value } from '../statement.ts';

export type RecordParam =
  | 'ids'
  | 'namespaces'
  | 'queueIds'
  | 'types'
  | 'ranks'
  | 'digests'
  | 'contentTypes'
  | 'headers'
  | 'labels'
  | 'sizes'
  | 'maxAttempts'
  | 'initialBackoffMs'
  | 'multipliers'
  | 'maxBackoffMs'
  | 'jitters'
  | 'nonRetryableCodes'
  | 'payloads'
  | 'dispositions'
  | 'startMs'
  | 'runMs'
  | 'closeMs';

/** The records of jobs that are enqueued, an array a column. One that holds only nulls is not sent: `unnest` fills its column with them. */
export function recordColumns(items: readonly EnqueueItem[]): Record<RecordParam, Value> {
  const plain = (pick: (item: EnqueueItem) => string | number | boolean | null) => unlessNull(items.map(pick), plainArray);
  const texts = (pick: (item: EnqueueItem) => string | null) => unlessNull(items.map(pick), textArray);
  const map = (pick: (item: EnqueueItem) => Readonly<Record<string, string>>) =>
    texts((item) => (Object.keys(pick(item)).length === 0 ? null : JSON.stringify(pick(item))));
  return {
    ids: plain((item) => item.jobId),
    namespaces: texts((item) => item.queue.namespace),
    queueIds: plain((item) => item.queue.id),
    types: texts((item) => item.spec.type),
    ranks: plain((item) => -item.spec.priority),
    digests: byteaArray(items.map((item) => item.digest)),
    contentTypes: texts((item) => item.spec.contentType),
    headers: map((item) => item.spec.headers),
    labels: map((item) => item.spec.labels),
    sizes: plain((item) => jobSizeBytes(item.spec)),
    maxAttempts: plain((item) => item.spec.retry.maxAttempts),
    initialBackoffMs: plain((item) => item.spec.retry.initialBackoffMs),
    multipliers: plain((item) => item.spec.retry.multiplier),
    maxBackoffMs: plain((item) => item.spec.retry.maxBackoffMs),
    jitters: plain((item) => item.spec.retry.jitter),
    nonRetryableCodes: texts((item) => (item.spec.retry.nonRetryableCodes === null ? null : textArray(item.spec.retry.nonRetryableCodes))),
    payloads: byteaArray(items.map((item) => item.spec.payload)),
    dispositions: plain((item) => DISPOSITION_CODES[item.spec.disposition]),
    startMs: plain((item) => item.spec.timeouts.scheduleToStartMs),
    runMs: plain((item) => item.spec.timeouts.startToCloseMs),
    closeMs: plain((item) => item.spec.timeouts.scheduleToCloseMs),
  };
}

function unlessNull<Item>(values: readonly (Item | null)[], literal: (values: readonly (Item | null)[]) => string): string | null {
  return values.every((value) => value === null) ? null : literal(values);
}
