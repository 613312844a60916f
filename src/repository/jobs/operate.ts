/**
 * What others than the holder do to a job: cancel, update, retry, resume, abandon, complete. A batch is one transaction; none of its
 * items decides over another. What a request was answered is written down in the commit that did it.
 */
import type { Refusal } from '../../domain/error.ts';
import { isTerminal, type Job, type JobId } from '../../domain/job.ts';
import { StoreError } from '../../engine/ports/store-error.ts';
import type { Operated, OperateItem } from '../../engine/ports/repository.ts';
import { plainArray, textArray } from '../array.ts';
import type { Database, Run } from '../database.ts';
import { placed, type Placed } from '../held-leases.ts';
import { parseRememberedJob, rememberedJob } from '../remembered-job.ts';
import { answerRequests, keyOf, openRequests, type Remembered } from '../requests.ts';
import { expireThese } from '../upkeep/expire-leases.ts';
import { timeOutThese } from '../upkeep/time-out.ts';
import { getJobs } from './get-jobs.ts';

/** Looks at jobs that are where the action finds them and yet were not found: each needs another writer in between. */
const MAX_ROUNDS = 8;

export interface Operation<Item extends OperateItem, Outcome extends string> {
  /** Name of the RPC: request ids are told apart by it. */
  readonly rpc: string;
  /** Changes the jobs that it finds where it looks; gives the positions of those, and what it refuses by itself. */
  readonly apply: (run: Run, now: string | null, items: readonly Placed<Item>[]) => Promise<Applied>;
  /** What is answered, by what the job now is; null: it was not changed though it could be, so it moved meanwhile. */
  readonly conclude: (job: Job, item: Item, isDone: boolean) => Outcome | Refusal | null;
}

export interface Applied {
  readonly changed: ReadonlySet<number>;
  readonly refused?: ReadonlyMap<number, Refusal>;
  /** Done before, just as it is asked now. */
  readonly repeated?: ReadonlySet<number>;
  /** Of those that are changed: whose life left a dead letter. Default: none. */
  readonly deadLettered?: ReadonlySet<number>;
}

export async function operate<Item extends OperateItem, Outcome extends string>(
  database: Pick<Database, 'transaction'>,
  now: string | null,
  items: readonly Item[],
  operation: Operation<Item, Outcome>,
): Promise<readonly Operated<Outcome>[]> {
  return await database.transaction(async (run) => {
    const outcomes = new Map<number, Operated<Outcome>>();
    const former = await openRequests(run, now, operation.rpc, items);
    const fresh = placed(items).filter(({ item, position }) => {
      const remembered = former.get(position);
      if (remembered !== undefined) outcomes.set(position, repeated(item, remembered));
      return !outcomes.has(position);
    });
    const { first, again } = withoutTwins(fresh);
    for (const [position, outcome] of await carryOut({ run, now, look: getJobs }, first, operation)) outcomes.set(position, outcome);
    await answerRequests(run, operation.rpc, items, answersOf(first, outcomes));
    for (const { position, twin } of again) outcomes.set(position, asTwin(items[position], items[twin], outcomes.get(twin)));
    return items.map((_, position) => {
      const outcome = outcomes.get(position);
      if (outcome === undefined) throw new Error('an operation has no outcome');
      return outcome;
    });
  });
}

export const OTHER_REQUEST: Refusal = {
  kind: 'invalid_field',
  violations: [{ field: 'request_id', description: 'was used for another request' }],
};

/** The transaction that an operation is carried out in, and how it reads the jobs that it answers with. */
interface Within {
  readonly run: Run;
  readonly now: string | null;
  readonly look: (run: Run, ids: readonly JobId[]) => Promise<readonly (Job | null)[]>;
}

/** What became of each item, by its position. In job order: two who change the same jobs do not block each other for good. */
export async function carryOut<Item extends OperateItem, Outcome extends string>(
  { run, now, look }: Within,
  items: readonly Placed<Item>[],
  operation: Operation<Item, Outcome>,
): Promise<ReadonlyMap<number, Operated<Outcome>>> {
  const outcomes = new Map<number, Operated<Outcome>>();
  let open = items.toSorted((a, b) => (a.item.jobId < b.item.jobId ? -1 : 1));
  for (let round = 0; open.length > 0; round += 1) {
    if (round === MAX_ROUNDS) throw new StoreError('conflict', 'a job moved on too often');
    const sent = firstOfEachJob(open);
    const { changed, refused, repeated: before, deadLettered } = await operation.apply(run, now, sent);
    for (const [position, refusal] of refused ?? []) outcomes.set(position, { kind: 'refused', refusal });
    const asked = sent.filter(({ position }) => !outcomes.has(position));
    const jobs = await look(
      run,
      asked.map(({ item }) => item.jobId),
    );
    asked.forEach(({ item, position }, index) => {
      const job = jobs[index] ?? null;
      // What it is by its row may be no more than that nobody has swept it: it is looked at once more after that.
      if (round === 0 && isGoingOn(job) && !changed.has(position)) return;
      const outcome = concluded(job, item, operation, {
        isChanged: changed.has(position),
        isRepeated: before?.has(position) === true,
      });
      if (outcome === null) return;
      const isDead = outcome.kind === 'applied' && deadLettered?.has(position) === true;
      outcomes.set(position, isDead ? { ...outcome, deadLettered: true } : outcome);
    });
    open = open.filter(({ position }) => !outcomes.has(position));
    if (open.length > 0) await sweep(run, now, open);
  }
  return outcomes;
}

/** A lease that has ended, or a job that has waited too long, is no more than one that nobody has swept yet. */
async function sweep(run: Run, now: string | null, open: readonly Placed<OperateItem>[]): Promise<void> {
  await expireThese(
    run,
    now,
    open.map(({ item }) => item.jobId),
  );
  await timeOutThese(run, now, operateValues(open));
}

function isGoingOn(job: Job | null): boolean {
  return job !== null && !isTerminal(job.state);
}

function concluded<Item extends OperateItem, Outcome extends string>(
  job: Job | null,
  item: Item,
  { conclude }: Operation<Item, Outcome>,
  { isChanged, isRepeated }: { readonly isChanged: boolean; readonly isRepeated: boolean },
): Operated<Outcome> | null {
  if (job === null || job.namespace !== item.namespace) return { kind: 'refused', refusal: { kind: 'job_not_found', jobId: item.jobId } };
  const outcome = conclude(job, item, isChanged || isRepeated);
  if (outcome === null) return null;
  if (typeof outcome !== 'string') return { kind: 'refused', refusal: outcome };
  return { kind: isChanged ? 'applied' : 'unchanged', job, outcome };
}

/** One change of a job after the other: two in one statement would meet the same row. */
function firstOfEachJob<Item extends OperateItem>(open: readonly Placed<Item>[]): readonly Placed<Item>[] {
  const seen = new Set<JobId>();
  return open.filter(({ item }) => !seen.has(item.jobId) && seen.add(item.jobId));
}

/** Of items under one request id the first is done, and the others are answered like it. */
function withoutTwins<Item extends OperateItem>(items: readonly Placed<Item>[]) {
  const firsts = new Map<string, number>();
  const first: Placed<Item>[] = [];
  const again: { readonly position: number; readonly twin: number }[] = [];
  for (const one of items) {
    const key = one.item.request === null ? null : keyOf(one.item.namespace, one.item.request.requestId);
    const twin = key === null ? undefined : firsts.get(key);
    if (twin !== undefined) again.push({ position: one.position, twin });
    else first.push(one);
    if (key !== null && twin === undefined) firsts.set(key, one.position);
  }
  return { first, again };
}

function asTwin<Item extends OperateItem, Outcome extends string>(
  item: Item | undefined,
  twin: Item | undefined,
  outcome: Operated<Outcome> | undefined,
): Operated<Outcome> {
  if (outcome === undefined || !sameDigest(item?.request?.digest, twin?.request?.digest))
    return { kind: 'refused', refusal: OTHER_REQUEST };
  return outcome;
}

function repeated<Outcome extends string>({ request }: OperateItem, { digest, answer }: Remembered): Operated<Outcome> {
  if (!sameDigest(request?.digest, digest)) return { kind: 'refused', refusal: OTHER_REQUEST };
  return { kind: 'unchanged', ...parseRememberedJob<Outcome>(answer) };
}

export function sameDigest(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  return one !== undefined && other !== undefined && Buffer.from(one).equals(other);
}

function answersOf<Item, Outcome extends string>(
  items: readonly Placed<Item>[],
  outcomes: ReadonlyMap<number, Operated<Outcome>>,
): ReadonlyMap<number, string | null> {
  return new Map(
    items.map(({ position }) => {
      const outcome = outcomes.get(position);
      return [position, outcome === undefined || outcome.kind === 'refused' ? null : rememberedJob(outcome.outcome, outcome.job)];
    }),
  );
}

/** The columns of the input `i` that `waiting` looks for. */
export function operateValues(items: readonly Placed<OperateItem>[]) {
  return {
    n: plainArray(items.map(({ position }) => position)),
    namespaces: textArray(items.map(({ item }) => item.namespace)),
    jobs: plainArray(items.map(({ item }) => item.jobId)),
  };
}

export type OperateParam = 'now' | 'n' | 'namespaces' | 'jobs';

export function invalid(job: Job, action: string): Refusal {
  return { kind: 'invalid_transition', jobId: job.jobId, state: job.state, action };
}
