import type { Refusal } from '../../domain/error.ts';
import type { Job } from '../../domain/job.ts';
import { StoreError } from '../../engine/ports/store-error.ts';
import type { EnqueueItem, EnqueueOutcome } from '../../engine/ports/repository.ts';
import type { Run } from '../database.ts';
import type { InVain } from '../in-vain.ts';
import { enqueue, type Enqueued, type Fresh } from './enqueue.ts';
import { enqueuePlain, isPlainBatch } from './enqueue-plain.ts';
import { findDuplicates, type Duplicate } from './find-duplicates.ts';
import { freeKeys } from './free-keys.ts';
import { getJobs } from './get-jobs.ts';

/** Rounds of looking again before the batch is handed back as a lost race: each needs another writer in between. */
const MAX_ROUNDS = 8;

interface Open {
  readonly position: number;
  readonly item: EnqueueItem;
}

export interface EnqueueOptions {
  /**
   * Queues, by number, of batches that the lesser statement was not for. Without it the jobs go by the whole one: within a transaction nothing
   * may be tried that a duplicate undoes.
   */
  readonly bounded?: InVain<number>;
}

/**
 * Enqueues a batch; the outcome at each position is the fresh job or the one that stood there first. Within a batch the
 * first of two equal ids or keys wins, as if they had come one after the other.
 */
export async function enqueueMany(
  run: Run,
  now: string | null,
  items: readonly EnqueueItem[],
  { bounded }: EnqueueOptions = {},
): Promise<readonly EnqueueOutcome[]> {
  const outcomes = new Map<number, EnqueueOutcome>();
  let open: readonly Open[] = items.map((item, position) => ({ position, item }));
  for (let round = 0; open.length > 0; round += 1) {
    if (round === MAX_ROUNDS) throw new StoreError('conflict', 'an idempotency key changed hands too often');
    const first = firstOfEachId(open);
    const sent = first.map((one) => one.item);
    const { fresh, closed } = (round === 0 && (await tryPlain(run, now, sent, bounded))) || (await enqueue(run, now, sent));
    for (const one of fresh) settle(outcomes, first[one.index], one);
    open = await resolveDuplicates(
      run,
      now,
      open.filter((one) => !outcomes.has(one.position)),
      outcomes,
    );
    // What is there already is answered, however full its queue is.
    open = refuseClosed(open, closed, outcomes);
  }
  return items.map((_, position) => {
    const outcome = outcomes.get(position);
    if (outcome === undefined) throw new Error('an enqueued item has no outcome');
    return outcome;
  });
}

/** What the lesser statement enqueues; null where it is not for these. */
async function tryPlain(
  run: Run,
  now: string | null,
  items: readonly EnqueueItem[],
  bounded: InVain<number> | undefined,
): Promise<Enqueued | null> {
  if (bounded === undefined || !isPlainBatch(items) || items.some(({ queue }) => bounded.has(queue.id))) return null;
  const fresh = await enqueuePlain(run, now, items);
  if (fresh !== null) return { fresh, closed: new Map() };
  for (const { queue } of items) bounded.add(queue.id);
  return null;
}

/** Returns those that their queue may still let in. */
function refuseClosed(open: readonly Open[], closed: ReadonlyMap<number, Refusal>, outcomes: Map<number, EnqueueOutcome>): readonly Open[] {
  return open.filter(({ position, item }) => {
    const refusal = closed.get(item.queue.id);
    if (refusal !== undefined) outcomes.set(position, { kind: 'refused', refusal });
    return refusal === undefined;
  });
}

function firstOfEachId(open: readonly Open[]): readonly Open[] {
  const seen = new Set<string>();
  return open.filter(({ item }) => !seen.has(item.jobId) && seen.add(item.jobId));
}

function settle(outcomes: Map<number, EnqueueOutcome>, open: Open | undefined, fresh: Fresh): void {
  if (open === undefined) throw new Error('the database enqueued an item that was not sent');
  outcomes.set(open.position, { kind: 'enqueued', job: freshJob(open.item, fresh) });
}

/** Answers those who found somebody in their place; returns those who must try again. */
async function resolveDuplicates(
  run: Run,
  now: string | null,
  open: readonly Open[],
  outcomes: Map<number, EnqueueOutcome>,
): Promise<readonly Open[]> {
  if (open.length === 0) return [];
  const found = await findDuplicates(
    run,
    now,
    open.map((one) => one.item),
  );
  const standing = open.flatMap((one, index) => {
    const duplicate = found[index] ?? null;
    return duplicate === null || duplicate.freeKey ? [] : [{ ...one, duplicate }];
  });
  const free = open.flatMap(({ item }, index) => {
    const duplicate = found[index];
    const key = item.spec.idempotency?.key;
    return duplicate?.freeKey === true && key !== undefined ? [{ queue: item.queue, key, job: duplicate.jobId }] : [];
  });
  if (free.length > 0) await freeKeys(run, now, free);
  const jobs =
    standing.length === 0
      ? []
      : await getJobs(
          run,
          standing.map((one) => one.duplicate.jobId),
        );
  standing.forEach((one, index) => {
    const outcome = duplicateOutcome(one.item, one.duplicate, jobs[index] ?? one.duplicate.pruned);
    if (outcome !== null) outcomes.set(one.position, outcome);
  });
  return open.filter((one) => !outcomes.has(one.position));
}

function duplicateOutcome(item: EnqueueItem, duplicate: Duplicate, job: Job | null): EnqueueOutcome | null {
  if (duplicate.namespace !== item.queue.namespace) return { kind: 'id_taken' };
  if (job === null) return null;
  // Nobody else knows an id that was minted here: a former try of this very item committed, and its answer was lost.
  if (item.spec.jobId === null && job.jobId === item.jobId) return { kind: 'enqueued', job };
  return { kind: 'duplicate', job, sameContent: Buffer.from(duplicate.digest).equals(item.digest) };
}

export function freshJob({ queue, jobId, spec }: EnqueueItem, fresh: Omit<Fresh, 'index'>): Job {
  return {
    namespace: queue.namespace,
    queue: queue.name,
    jobId,
    type: spec.type,
    state: fresh.scheduled ? 'SCHEDULED' : spec.concurrencyKey === '' ? 'READY' : 'BLOCKED',
    priority: spec.priority,
    life: 1,
    attempt: 0,
    maxAttempts: fresh.maxAttempts,
    fence: 0n,
    runAt: spec.runAt,
    createdAt: fresh.createdAt,
    startedAt: null,
    finishedAt: null,
    lastSequence: 1,
    contentType: spec.contentType,
    result: null,
    resultContentType: '',
    failure: null,
    idempotencyKey: spec.idempotency?.key ?? '',
    concurrencyKey: spec.concurrencyKey,
    labels: spec.labels,
    headers: spec.headers,
    workerId: '',
    leaseExpiresAt: null,
    disposition: spec.disposition,
    fairnessKey: spec.fairnessKey,
    asked: null,
  };
}
