/** Prune: removes jobs before their retention ends, with an audit record and what the request was answered in the same commit. */
import { createHash } from 'node:crypto';
import type { Result } from '../../domain/error.ts';
import { EVENT_CODES } from '../../domain/event.ts';
import type { TerminalState } from '../../domain/job.ts';
import type { Pruned, PruneItem } from '../../engine/ports/queues.ts';
import { StoreError } from '../../engine/ports/store-error.ts';
import type { Database, Run } from '../database.ts';
import { OTHER_REQUEST, sameDigest } from '../jobs/operate.ts';
import { countEnded, pruneEnded, type PruneChoice, type PruneStep } from '../prune-jobs.ts';
import { FIRST_MARK, forgetMark, lockMark, setMark } from '../prune-marks.ts';
import { answerRequests, openRequests } from '../requests.ts';
import { instantLiteral } from '../row.ts';
import { writeAudit } from './audit.ts';

/** Ends that one statement looks at. */
const BATCH = 500;
/** A call removes so many, or looks at so many; a dry run, which goes no further the next time, looks at more. */
const MAX_REMOVED = 1_000;
const MAX_SCANNED = 10_000;
const MAX_COUNTED = 100_000;

const TYPES: Readonly<Record<TerminalState, number>> = {
  SUCCEEDED: EVENT_CODES.succeeded,
  FAILED: EVENT_CODES.failed,
  CANCELLED: EVENT_CODES.cancelled,
  ABANDONED: EVENT_CODES.abandoned,
};

export async function pruneJobs(
  database: Pick<Database, 'run' | 'transaction'>,
  now: string | null,
  item: PruneItem,
): Promise<Result<Pruned>> {
  const choice = choiceOf(item);
  if (item.dryRun) return { ok: true, value: await count(database.run, now, choice) };
  return await database.transaction(async (run): Promise<Result<Pruned>> => {
    const former = (await openRequests(run, now, 'Prune', [item])).get(0);
    if (former !== undefined && !sameDigest(item.request?.digest, former.digest)) return { ok: false, refusal: OTHER_REQUEST };
    if (former !== undefined) return { ok: true, value: parsePruned(former.answer) };
    const done = await removeSome(run, now, choice);
    await audit(run, now, item, done);
    await answerRequests(run, 'Prune', [item], new Map([[0, JSON.stringify(done)]]));
    return { ok: true, value: done };
  });
}

function choiceOf({ namespace, queue, states, finishedBefore }: PruneItem): PruneChoice {
  const types = states.map((state) => TYPES[state]);
  return {
    before: instantLiteral(finishedBefore),
    retentionMs: null,
    namespace,
    queue,
    types: types.length === 0 ? null : types.toSorted((one, other) => one - other),
  };
}

/** A later call with the same choice goes on where this one ended: what it passed over is not looked at again. */
async function removeSome(run: Run, now: string | null, choice: PruneChoice): Promise<Pruned> {
  const walk = `filter ${createHash('sha256').update(JSON.stringify(choice)).digest('base64url')}`;
  let mark = await lockMark(run, now, walk);
  if (mark === null) throw new StoreError('contended', 'the same jobs are pruned just now');
  let pruned = 0;
  let step: PruneStep | null = null;
  for (let scanned = 0; step === null || isToGoOn(step, pruned, scanned); scanned += step.scanned) {
    step = await pruneEnded(run, now, choice, mark, BATCH);
    pruned += step.removed;
    ({ mark } = step);
  }
  if (step.atEnd) await forgetMark(run, walk);
  else await setMark(run, now, walk, mark);
  return { pruned, complete: step.atEnd };
}

function isToGoOn({ atEnd, blocked }: PruneStep, pruned: number, scanned: number): boolean {
  return !atEnd && !blocked && pruned < MAX_REMOVED && scanned < MAX_SCANNED;
}

async function count(run: Run, now: string | null, choice: PruneChoice): Promise<Pruned> {
  let [pruned, mark] = [0, FIRST_MARK];
  for (let scanned = 0; scanned < MAX_COUNTED;) {
    const step = await countEnded(run, now, choice, mark, MAX_SCANNED);
    pruned += step.removed;
    scanned += step.scanned;
    ({ mark } = step);
    if (step.atEnd) return { pruned, complete: true };
  }
  return { pruned, complete: false };
}

async function audit(
  run: Run,
  now: string | null,
  { namespace, queue, states, finishedBefore, actor }: PruneItem,
  done: Pruned,
): Promise<void> {
  await writeAudit(run, now, {
    ...{ namespace, queue: queue ?? '', actor, action: 'PRUNE', reason: '' },
    before: JSON.stringify({ states, finishedBefore: new Date(finishedBefore / 1_000).toISOString() }),
    after: JSON.stringify(done),
  });
}

function parsePruned(answer: string): Pruned {
  return JSON.parse(answer) as Pruned;
}
