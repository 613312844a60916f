import type { Refusal, Result } from '../../domain/error.ts';
import { jobIdTimeMs, jobSizeBytes, type JobSpec } from '../../domain/job.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Enqueued, EnqueueBatch } from '../engine.ts';
import type { GroupCommit } from '../group-commit.ts';
import type { AtomicBatch, EnqueueItem, EnqueueOutcome } from '../ports/repository.ts';
import type { QueueDirectory } from '../queue-directory.ts';
import { contentDigest } from './content-digest.ts';
import type { JobIdMint } from './mint-job-id.ts';

export interface EnqueueParts {
  readonly commits: GroupCommit<EnqueueItem, EnqueueOutcome>;
  readonly atomicCommits: GroupCommit<AtomicBatch, readonly EnqueueOutcome[]>;
  readonly directory: QueueDirectory;
  readonly mint: JobIdMint;
  /** Told of every committed job, so that who waits for it wakes. */
  readonly onEnqueued: (outcomes: readonly EnqueueOutcome[]) => void;
}

export async function enqueue(
  parts: EnqueueParts,
  command: { readonly namespace: string; readonly spec: JobSpec },
): Promise<Result<Enqueued>> {
  const refusal = refuseJobId(parts.mint, command.spec, 'job.job_id');
  if (refusal !== null) return { ok: false, refusal };
  const [queue] = await parts.directory.ensure([{ namespace: command.namespace, name: command.spec.queue }]);
  if (queue === undefined) throw new Error('a queue was not made');
  return answer(command.spec, await parts.commits.submit(itemOf(parts.mint, queue, command.spec)));
}

/** Each item for itself, or with `atomic` all in one commit or none. */
export async function enqueueBatch(parts: EnqueueParts, batch: EnqueueBatch): Promise<Result<readonly Result<Enqueued>[]>> {
  const checked = batch.items.map((item, index): Result<JobSpec> => {
    const refusal = item.ok ? refuseJobId(parts.mint, item.value, `jobs[${index}].job_id`) : item.refusal;
    return refusal === null ? item : { ok: false, refusal };
  });
  const refused = checked.find((item) => !item.ok);
  if (batch.atomic && refused !== undefined && !refused.ok) return refused;
  const specs = checked.flatMap((item) => (item.ok ? [item.value] : []));
  const queues = await parts.directory.ensure(specs.map((spec) => ({ namespace: batch.namespace, name: spec.queue })));
  const items = specs.map((spec, index) => itemOf(parts.mint, queues[index], spec));
  if (batch.atomic) return enqueueAtomic(parts, items);
  const outcomes = await parts.commits.submitMany(items);
  const answers = outcomes.map((outcome, index) => answer(specOf(items, index), outcome));
  const inOrder = answers.values();
  return { ok: true, value: checked.map((item) => (item.ok ? next(inOrder) : item)) };
}

async function enqueueAtomic(parts: EnqueueParts, items: readonly EnqueueItem[]): Promise<Result<readonly Result<Enqueued>[]>> {
  const judge = (outcomes: readonly EnqueueOutcome[]) => outcomes.map((outcome, index) => answer(specOf(items, index), outcome));
  const outcomes = await parts.atomicCommits.submit({ items, refuse: (found) => judge(found).some((one) => !one.ok) });
  const answers = judge(outcomes);
  const refused = answers.find((one) => !one.ok);
  if (refused !== undefined && !refused.ok) return refused;
  parts.onEnqueued(outcomes);
  return { ok: true, value: answers };
}

function itemOf(mint: JobIdMint, queue: EnqueueItem['queue'] | undefined, spec: JobSpec): EnqueueItem {
  if (queue === undefined) throw new Error('a queue was not made');
  return { queue, spec, jobId: spec.jobId ?? mint.mint(), digest: contentDigest(spec) };
}

function specOf(items: readonly EnqueueItem[], index: number): JobSpec {
  const item = items[index];
  if (item === undefined) throw new Error('more outcomes than items');
  return item.spec;
}

function answer(spec: JobSpec, outcome: EnqueueOutcome): Result<Enqueued> {
  switch (outcome.kind) {
    case 'enqueued':
      return { ok: true, value: { job: outcome.job, deduplicated: false } };
    case 'id_taken':
      return { ok: false, refusal: { kind: 'duplicate_job', jobId: null } };
    case 'duplicate':
      if (outcome.sameContent && spec.onDuplicate === 'RETURN_EXISTING')
        return { ok: true, value: { job: outcome.job, deduplicated: true } };
      return { ok: false, refusal: { kind: 'duplicate_job', jobId: outcome.job.jobId } };
  }
}

/** Partitions and order by id need its time to be near the database's. */
function refuseJobId(mint: JobIdMint, spec: JobSpec, field: string): Refusal | null {
  if (spec.jobId === null || Math.abs(jobIdTimeMs(spec.jobId) - mint.databaseTimeMs()) <= LIMITS.clientJobIdSkewMs) return null;
  return { kind: 'invalid_field', violations: [{ field, description: 'its time must lie within 24 hours of the database time' }] };
}

function next(answers: Iterator<Result<Enqueued>>): Result<Enqueued> {
  const { value, done } = answers.next();
  if (done === true) throw new Error('fewer answers than items');
  return value;
}

/** Bytes an item adds to a commit. */
export function enqueueBytes(item: EnqueueItem): number {
  return jobSizeBytes(item.spec);
}
