import { RefusalError } from '../../domain/error.ts';
import type { JobId } from '../../domain/job.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Delivery, Subscribe } from '../engine.ts';
import { EpochEnded, type JobWatch } from '../ports/event-log.ts';
import type { Epoch } from '../ports/journal.ts';
import type { History, HistoryQuery } from '../ports/events.ts';
import type { Repository } from '../ports/repository.ts';
import { firstOf } from '../wait.ts';
import { CheckpointPace } from './checkpoint-pace.ts';
import { cursorExpired, formatCursor, readCursor } from './cursor.ts';
import { deliver, type Message } from './deliver.ts';
import { cutIntoMessages, wants } from './message.ts';
import type { ProgressWatch } from '../progress/progress-board.ts';
import { progressUntilChanged } from '../progress/until-changed.ts';
import { followProgress } from './follow-progress.ts';
import type { SubscribeParts } from './subscribe.ts';

export interface FollowJobParts extends SubscribeParts {
  readonly repository: Pick<Repository, 'history'>;
  /** Reads a few events of many jobs together: for those who have caught up. */
  readonly histories: { submit(query: HistoryQuery): Promise<History | null> };
}

/** Job scope: from the job's own history, woken by the log. Never scans the journal, however old the job. */
export async function* followJob(parts: FollowJobParts, query: Subscribe, jobId: JobId, signal: AbortSignal): AsyncGenerator<Delivery> {
  // Watched before it is read: what is committed after the read is told.
  const watch = await parts.log.watch(jobId);
  const progress = followProgress(parts.board, query);
  using ended = firstOf([signal, parts.draining]);
  try {
    const epoch = await parts.log.epoch();
    const after = await startSequence(parts, query, jobId, epoch);
    const messages = jobMessages(parts, { query, jobId, epochId: epoch.id, after, watch, progress }, ended.signal);
    yield* deliver(messages, { draining: parts.draining, signal });
  } finally {
    progress?.close();
    watch.close();
  }
}

interface Following {
  readonly query: Subscribe;
  readonly jobId: JobId;
  readonly epochId: string;
  /** The last sequence that the subscriber has. */
  readonly after: number;
  readonly watch: JobWatch;
  /** Null where none is wanted. */
  readonly progress: ProgressWatch | null;
}

/** What is wanted of the job's history, and checkpoints, until the signal. Throws `EpochEnded` when the history is over. */
async function* jobMessages(parts: FollowJobParts, following: Following, signal: AbortSignal): AsyncGenerator<Message> {
  const { query, jobId, epochId, watch } = following;
  const cursor = (sequence: number) => formatCursor(query, { kind: 'job', epochId, sequence });
  const pace = new CheckpointPace();
  let { after } = following;
  let isBehind = query.start.kind !== 'from_now';
  yield { events: [], cursor: cursor(after) };
  while (!signal.aborted) {
    const history = await (isBehind
      ? parts.repository.history(jobId, after, LIMITS.eventsPerMessage)
      : parts.histories.submit({ jobId, after }));
    // Looked at behind the read: what was read before a history ended is of that history.
    if ((await parts.log.epoch()).id !== epochId) throw new EpochEnded();
    if (history === null) throw new RefusalError({ kind: 'job_not_found', jobId });
    const wanted = history.events.filter((event) => wants(query, event));
    for (const events of cutIntoMessages(wanted, (event) => event)) {
      after = events.at(-1)?.sequence ?? after;
      yield { events, cursor: cursor(after) };
      if (signal.aborted) return;
    }
    after = history.events.at(-1)?.sequence ?? after;
    if (wanted.length > 0) pace.told();
    else if (history.events.length > 0) pace.passedBy();
    if (pace.remainingMs() === 0) {
      yield { events: [], cursor: cursor(after) };
      pace.told();
    }
    isBehind = after < history.latestSequence;
    // At the next checkpoint at the latest the history is read again: every hint may have been lost.
    if (isBehind) continue;
    using wait = firstOf([signal], pace.remainingMs());
    for await (const progress of progressUntilChanged(watch, following.progress, wait.signal)) {
      yield { events: [], cursor: cursor(after), progress };
    }
  }
}

async function startSequence(parts: FollowJobParts, query: Subscribe, jobId: JobId, epoch: Epoch): Promise<number> {
  const history = await parts.histories.submit({ jobId, after: 0 });
  if (history === null || history.namespace !== query.namespace) throw new RefusalError({ kind: 'job_not_found', jobId });
  if (query.start.kind === 'from_beginning') return 0;
  if (query.start.kind === 'from_now') return history.latestSequence;
  const cursor = readCursor(query, query.start.cursor);
  const known = cursor.kind === 'job' && cursor.epochId === epoch.id && cursor.sequence <= history.latestSequence;
  if (!known) throw new RefusalError(cursorExpired(query, 'other_history', epoch));
  return cursor.sequence;
}
