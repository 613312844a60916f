/**
 * Replay: a new life for the job of a dead letter, as a retry gives it. The record names the life that must be the last one, so of all
 * who replay it, or retry its job, one begins the next; in the same commit the record is marked.
 */
import { sql } from 'drizzle-orm';
import type { DeadLetterId } from '../../domain/dead-letter.ts';
import type { Refusal, Result } from '../../domain/error.ts';
import type { Job, JobId } from '../../domain/job.ts';
import type {
  DeadLetterFilter,
  Replayable,
  ReplayedPage,
  ReplayOutcome,
  ReplayPage,
  ReplayStretch,
} from '../../engine/ports/dead-letters.ts';
import type { ReasonItem } from '../../engine/ports/repository.ts';
import { plainArray } from '../array.ts';
import type { Database, Run } from '../database.ts';
import { placed, type Placed } from '../held-leases.ts';
import { jobsWithoutResults } from '../jobs/bulk.ts';
import { type Applied, carryOut, invalid, type Operation, OTHER_REQUEST, sameDigest } from '../jobs/operate.ts';
import { retryEach } from '../jobs/retry.ts';
import { answerRequests, openRequests, type Remembered } from '../requests.ts';
import { int, int8 } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { deadLetterPlaces } from './dead-letter-places.ts';

/** The last position given to anybody so far, also to those who have not committed yet. */
const lastPositionStatement = statement<never>('last-dead-letter', sql`select last_value from stint.dead_letter_n`);

/**
 * Records not replayed yet that match, a page of them; `until` bounds all pages of one replay. What fails anew while it goes on would
 * come last, and be replayed for ever.
 */
export async function findReplayable(
  run: Run,
  filter: Omit<DeadLetterFilter, 'includeReplayed'>,
  pageSize: number,
  stretch: ReplayStretch | null,
): Promise<Replayable> {
  const until = stretch?.until ?? (await lastPosition(run));
  const found = await deadLetterPlaces(
    run,
    { ...filter, includeReplayed: false },
    { after: stretch?.after ?? null, until, limit: pageSize },
  );
  return { ids: found.places, next: found.nextAfter === null ? null : { after: found.nextAfter, until } };
}

async function lastPosition(run: Run): Promise<bigint> {
  const [row] = await run(lastPositionStatement, {});
  if (row === undefined) throw new Error('a sequence told nothing');
  return int8(row, 'last_value');
}

/** By the unique index on job and life. */
const knownStatement = statement<'n' | 'jobs' | 'lives' | 'namespace' | 'queue'>(
  'known-dead-letters',
  sql`select i.n from unnest(${param('n')}::int[], ${param('jobs')}::uuid[], ${param('lives')}::int[]) as i(n, job, life)
    cross join lateral (
      select d.queue_id from stint.dead_letter d
       where d.shard = ${shard} and d.job = i.job and d.life = i.life and d.namespace = ${param('namespace')}::text offset 0) d
   where ${param('queue')}::text is null or ${param('queue')}::text = (
     select q.name from stint.queue q where q.shard = ${shard} and q.id = d.queue_id)`,
);

interface ReplayItem extends ReasonItem {
  readonly life: number;
}

function itemsOf({ namespace, ids, reason }: ReplayPage): readonly ReplayItem[] {
  return ids.map(({ jobId, life }) => ({ namespace, jobId, life, reason, request: null }));
}

/** What is refused because there is no such record, by position. */
async function unknownRecords(
  run: Run,
  { namespace, queue }: Pick<ReplayPage, 'namespace' | 'queue'>,
  items: readonly Placed<ReplayItem>[],
): Promise<ReadonlyMap<number, Refusal>> {
  const rows = await run(knownStatement, {
    namespace,
    queue,
    n: plainArray(items.map(({ position }) => position)),
    jobs: plainArray(items.map(({ item }) => item.jobId)),
    lives: plainArray(items.map(({ item }) => item.life)),
  });
  const known = new Set(rows.map((row) => int(row, 'n')));
  const unknown = items.filter(({ position }) => !known.has(position));
  return new Map(unknown.map(({ item, position }) => [position, { kind: 'job_not_found', jobId: item.jobId }]));
}

function replaying(page: ReplayPage): Operation<ReplayItem, 'REPLAYED'> {
  return {
    rpc: REPLAY,
    apply: async (run, now, items): Promise<Applied> => {
      const unknown = await unknownRecords(run, page, items);
      const { changed, refused } = await retryEach(
        run,
        now,
        items.filter(({ position }) => !unknown.has(position)),
      );
      return { changed, refused: new Map([...unknown, ...(refused ?? [])]) };
    },
    conclude: (job, item, isDone) => (isDone ? 'REPLAYED' : stands(job, item) ? null : invalid(job, 'replay')),
  };
}

/** Whether the life of the record is where its job stands. */
function stands(job: Job, { life }: DeadLetterId): boolean {
  return job.state === 'FAILED' && job.life === life;
}

const REPLAY = 'ReplayDeadLetters';

export async function replayPage(database: Pick<Database, 'transaction'>, now: string | null, page: ReplayPage): Promise<ReplayOutcome> {
  return await database.transaction(async (run) => {
    const former = (await openRequests(run, now, REPLAY, [page])).get(0);
    if (former !== undefined) return { answer: repeated(page, former), changed: [] };
    const items = itemsOf(page);
    const outcomes = await carryOut({ run, now, look: jobsWithoutResults }, placed(items), replaying(page));
    const replayed = page.ids.map(({ jobId, life }, position) => {
      const outcome = outcomes.get(position);
      if (outcome === undefined) throw new Error('a dead letter has no outcome');
      return { id: { jobId, life }, outcome };
    });
    const answer: ReplayedPage = {
      results: replayed.map(({ id, outcome }) => ({
        id,
        result: outcome.kind === 'refused' ? { ok: false, refusal: outcome.refusal } : { ok: true, value: id.jobId },
      })),
      next: page.next,
    };
    await answerRequests(run, REPLAY, [page], new Map([[0, rememberedPage(answer)]]));
    return {
      answer: { ok: true, value: answer },
      changed: replayed.flatMap(({ outcome }) => (outcome.kind === 'applied' ? [outcome.job] : [])),
    };
  });
}

/** What a replay would come to, as far as the jobs tell; nothing is locked, nothing changes. */
export async function foreseeReplay(run: Run, page: ReplayPage): Promise<ReplayedPage> {
  const items = placed(itemsOf(page));
  const unknown = await unknownRecords(run, page, items);
  const jobs = await jobsWithoutResults(
    run,
    page.ids.map(({ jobId }) => jobId),
  );
  const foreseen = (id: DeadLetterId, position: number): Result<JobId> => {
    const refusal = unknown.get(position);
    const job = jobs[position];
    if (refusal !== undefined) return { ok: false, refusal };
    if (job === null || job === undefined) return { ok: false, refusal: { kind: 'job_not_found', jobId: id.jobId } };
    return stands(job, id) ? { ok: true, value: id.jobId } : { ok: false, refusal: invalid(job, 'replay') };
  };
  return { results: page.ids.map((id, position) => ({ id, result: foreseen(id, position) })), next: page.next };
}

function repeated({ request }: ReplayPage, { digest, answer }: Remembered): Result<ReplayedPage> {
  if (!sameDigest(request?.digest, digest)) return { ok: false, refusal: OTHER_REQUEST };
  return { ok: true, value: parseRememberedPage(answer) };
}

interface RememberedPage extends Omit<ReplayedPage, 'next'> {
  readonly next: { readonly after: string; readonly until: string } | null;
}

/** JSON knows no bigint. */
function rememberedPage({ results, next }: ReplayedPage): string {
  const page: RememberedPage = { results, next: next === null ? null : { after: String(next.after), until: String(next.until) } };
  return JSON.stringify(page);
}

function parseRememberedPage(answer: string): ReplayedPage {
  const { results, next } = JSON.parse(answer) as RememberedPage;
  return { results, next: next === null ? null : { after: BigInt(next.after), until: BigInt(next.until) } };
}
