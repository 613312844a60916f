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
  const { namespace, spec } = command;
  const jobs = [identify(parts.mint, spec)];
  const [outcome] = await inQueues(parts, namespace, jobs, (items) => Promise.all(items.map((item) => parts.commits.submit(item))));
  if (outcome === undefined) throw new Error('an enqueue has no outcome');
  return answer(spec, outcome);
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
  const jobs = specs.map((spec) => identify(parts.mint, spec));
  if (batch.atomic) return inQueues(parts, batch.namespace, jobs, (items) => enqueueAtomic(parts, items));
  const outcomes = await inQueues(parts, batch.namespace, jobs, (items) => parts.commits.submitMany(items));
  const answers = outcomes.map((outcome, index) => answer(specOf(jobs, index), outcome));
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

/** All of an item but its queue. Minted once: who submits it again, in another history of the database, submits the same job. */
type Identified = Omit<EnqueueItem, 'queue'>;

function identify(mint: JobIdMint, spec: JobSpec): Identified {
  return { spec, jobId: spec.jobId ?? mint.mint(), digest: contentDigest(spec) };
}

/** Submits jobs with the queues they go to, which spring into being. */
function inQueues<Outcome>(
  { directory }: EnqueueParts,
  namespace: string,
  jobs: readonly Identified[],
  submit: (items: readonly EnqueueItem[]) => Promise<Outcome>,
): Promise<Outcome> {
  const names = jobs.map(({ spec }) => ({ namespace, name: spec.queue }));
  return directory.inCurrentHistory(async () => {
    const queues = (await directory.ensure(names)).values();
    return submit(jobs.map((job) => ({ ...job, queue: next(queues) })));
  });
}

function specOf(items: readonly Identified[], index: number): JobSpec {
  const item = items[index];
  if (item === undefined) throw new Error('more outcomes than items');
  return item.spec;
}

function answer(spec: JobSpec, outcome: EnqueueOutcome): Result<Enqueued> {
  switch (outcome.kind) {
    case 'enqueued':
      return { ok: true, value: { job: outcome.job, deduplicated: false } };
    case 'refused':
      return { ok: false, refusal: outcome.refusal };
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

function next<T>(positional: Iterator<T, undefined>): T {
  const { value, done } = positional.next();
  if (done === true) throw new Error('fewer than there are items');
  return value;
}

/** Bytes an item adds to a commit. */
export function enqueueBytes(item: EnqueueItem): number {
  return jobSizeBytes(item.spec);
}
