/**
 * CancelJobs, RetryJobs: the jobs are found by a listing, a page of it is changed in one commit, each job as it stands by then. A dry
 * run only looks.
 */
import type { Result } from '../../domain/error.ts';
import { isTerminal, type Job, JOB_STATES, type JobId, type JobState } from '../../domain/job.ts';
import type { GroupCommit } from '../group-commit.ts';
import type { BulkPage, CancelOutcome, JobFilter, OperatedPage, OperatePage, Repository } from '../ports/repository.ts';
import type { RequestKey } from '../ports/request-key.ts';

export interface Bulk {
  readonly filter: JobFilter;
  readonly reason: string;
  readonly dryRun: boolean;
  readonly pageSize: number;
  readonly after: JobId | null;
  readonly request: RequestKey | null;
}

/** Pages wait for their commit in turn; each is one. */
export type PageLane<Told> = GroupCommit<OperatePage, OperatedPage<Told>>;

interface BulkParts<Told> {
  readonly repository: Pick<Repository, 'listJobs'>;
  readonly lane: PageLane<Told>;
}

interface BulkKind<Told> {
  /** Those it is about where the filter names none. */
  readonly states: readonly JobState[];
  /** What it would come to. */
  readonly foretell: (job: Job) => Result<Told>;
}

const CANCELLING: BulkKind<CancelOutcome> = {
  states: JOB_STATES.filter((state) => !isTerminal(state)),
  foretell: ({ state }) => {
    if (isTerminal(state)) return { ok: true, value: 'ALREADY_TERMINAL' };
    return { ok: true, value: state === 'LEASED' || state === 'RUNNING' ? 'CANCEL_REQUESTED' : 'CANCELLED' };
  },
};

const RETRYING: BulkKind<number> = {
  states: ['FAILED', 'CANCELLED'],
  foretell: ({ jobId, state, life }) => {
    if (state === 'FAILED' || state === 'CANCELLED') return { ok: true, value: life + 1 };
    return { ok: false, refusal: { kind: 'invalid_transition', jobId, state, action: 'retry' } };
  },
};

export function cancelJobs(parts: BulkParts<CancelOutcome>, command: Bulk): Promise<Result<BulkPage<CancelOutcome>>> {
  return inBulk(parts, command, CANCELLING);
}

export function retryJobs(parts: BulkParts<number>, command: Bulk): Promise<Result<BulkPage<number>>> {
  return inBulk(parts, command, RETRYING);
}

async function inBulk<Told>(
  { repository, lane }: BulkParts<Told>,
  { filter, reason, dryRun, pageSize, after, request }: Bulk,
  { states, foretell }: BulkKind<Told>,
): Promise<Result<BulkPage<Told>>> {
  const named = filter.states.length === 0 ? { ...filter, states } : filter;
  const { jobs, nextAfter } = await repository.listJobs(named, pageSize, after);
  if (dryRun) return { ok: true, value: { results: jobs.map((job) => ({ jobId: job.jobId, result: foretell(job) })), nextAfter } };
  if (jobs.length === 0 && request === null) return { ok: true, value: { results: [], nextAfter } };
  const jobIds = jobs.map(({ jobId }) => jobId);
  const { answer } = await lane.submit({ namespace: filter.namespace, jobIds, nextAfter, reason, request });
  return answer;
}
