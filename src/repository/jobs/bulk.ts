/** A page of jobs cancelled or retried in one commit, with what the page was answered where its request has an id. */
import { sql } from 'drizzle-orm';
import type { Result } from '../../domain/error.ts';
import type { Job, JobId } from '../../domain/job.ts';
import type {
  BulkPage,
  CancelOutcome,
  ChangeOutcome,
  Operated,
  OperatedPage,
  OperatePage,
  ReasonItem,
} from '../../engine/ports/repository.ts';
import { plainArray } from '../array.ts';
import type { Database, Run } from '../database.ts';
import { placed } from '../held-leases.ts';
import { answerRequests, openRequests, type Remembered } from '../requests.ts';
import { int } from '../row.ts';
import { param, statement } from '../statement.ts';
import { cancelling } from './cancel.ts';
import { jobWithoutResultColumns, parseJob, wholeJobOfX } from './get-jobs.ts';
import { carryOut, OTHER_REQUEST, type Operation, sameDigest } from './operate.ts';
import { retrying } from './retry.ts';

interface BulkOperation<Outcome extends string, Told> {
  /** Name of the RPC: request ids are told apart by it. */
  readonly rpc: string;
  readonly operation: Operation<ReasonItem, Outcome>;
  /** What a job is told to have come to; JSON keeps it. */
  readonly tell: (job: Job, outcome: Outcome) => Told;
}

export const cancellingAll: BulkOperation<CancelOutcome, CancelOutcome> = {
  rpc: 'CancelJobs',
  operation: cancelling,
  tell: (_job, outcome) => outcome,
};

export const retryingAll: BulkOperation<ChangeOutcome, number> = { rpc: 'RetryJobs', operation: retrying, tell: ({ life }) => life };

export async function operatePage<Outcome extends string, Told>(
  database: Pick<Database, 'transaction'>,
  now: string | null,
  page: OperatePage,
  { rpc, operation, tell }: BulkOperation<Outcome, Told>,
): Promise<OperatedPage<Told>> {
  return await database.transaction(async (run) => {
    const former = (await openRequests(run, now, rpc, [page])).get(0);
    if (former !== undefined) return { answer: repeated(page, former), changed: [] };
    const { namespace, reason, jobIds, nextAfter } = page;
    const items = jobIds.map((jobId): ReasonItem => ({ namespace, jobId, reason, request: null }));
    const outcomes = await carryOut({ run, now, look: jobsWithoutResults }, placed(items), operation);
    const operated = jobIds.map((jobId, position) => ({ jobId, outcome: outcomeAt(outcomes, position) }));
    const answer: BulkPage<Told> = {
      results: operated.map(({ jobId, outcome }) => ({ jobId, result: resultOf(outcome, tell) })),
      nextAfter,
    };
    await answerRequests(run, rpc, [page], new Map([[0, JSON.stringify(answer)]]));
    return {
      answer: { ok: true, value: answer },
      changed: operated.flatMap(({ outcome }) => (outcome.kind === 'applied' ? [outcome.job] : [])),
    };
  });
}

function outcomeAt<Outcome extends string>(outcomes: ReadonlyMap<number, Operated<Outcome>>, position: number): Operated<Outcome> {
  const outcome = outcomes.get(position);
  if (outcome === undefined) throw new Error('a job of a page has no outcome');
  return outcome;
}

function resultOf<Outcome extends string, Told>(
  outcome: Operated<Outcome>,
  tell: (job: Job, outcome: Outcome) => Told,
): BulkPage<Told>['results'][number]['result'] {
  if (outcome.kind === 'refused') return { ok: false, refusal: outcome.refusal };
  return { ok: true, value: tell(outcome.job, outcome.outcome) };
}

function repeated<Told>({ request }: OperatePage, { digest, answer }: Remembered): Result<BulkPage<Told>> {
  if (!sameDigest(request?.digest, digest)) return { ok: false, refusal: OTHER_REQUEST };
  return { ok: true, value: parseBulkPage(answer) };
}

function parseBulkPage<Told>(answer: string): BulkPage<Told> {
  return JSON.parse(answer) as BulkPage<Told>;
}

const jobsWithoutResultsStatement = statement<'n' | 'jobs'>(
  'jobs-without-results',
  sql`select x.n, ${jobWithoutResultColumns}
    from unnest(${param('n')}::int[], ${param('jobs')}::uuid[]) as x(n, job) ${wholeJobOfX}`,
);

/** As `getJobs`; a thousand results could be a gigabyte. */
export async function jobsWithoutResults(run: Run, ids: readonly JobId[]): Promise<readonly (Job | null)[]> {
  const rows = await run(jobsWithoutResultsStatement, { n: plainArray(ids.map((_, index) => index)), jobs: plainArray(ids) });
  const jobs: (Job | null)[] = ids.map(() => null);
  for (const row of rows) jobs[int(row, 'n')] = parseJob(row);
  return jobs;
}
