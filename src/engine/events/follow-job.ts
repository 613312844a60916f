import { RefusalError } from '../../domain/error.ts';
import type { JobEvent } from '../../domain/event.ts';
import type { JobId } from '../../domain/job.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Delivery, Subscribe } from '../engine.ts';
import type { Repository } from '../ports/repository.ts';
import { firstOf } from '../wait.ts';
import { formatCursor } from './cursor.ts';
import { readCursor, type SubscribeParts } from './subscribe.ts';

/** A job's history is read again after this, should every hint have been lost; a checkpoint shows that the stream lives. */
const CHECKPOINT_MS = 60_000;

/** Job scope: from the job's own history, woken by the log. Never scans the journal, however old the job. */
export async function* followJob(
  parts: SubscribeParts & { readonly repository: Pick<Repository, 'history'> },
  query: Subscribe,
  jobId: JobId,
  signal: AbortSignal,
): AsyncGenerator<Delivery> {
  const watch = await parts.log.watch(jobId);
  using ended = firstOf([signal, parts.draining]);
  try {
    const { id: epochId } = await parts.log.epoch();
    const at = (sequence: number) => formatCursor(query, { kind: 'job', epochId, sequence });
    let after = await startSequence(parts, query, jobId, epochId);
    yield { events: [], cursor: at(after), reconnect: null };
    while (!ended.signal.aborted) {
      const history = await parts.repository.history(jobId, after, LIMITS.eventsPerMessage);
      if (history === null) throw new RefusalError({ kind: 'job_not_found', jobId });
      after = history.events.at(-1)?.sequence ?? after;
      const events = history.events.filter((event) => wanted(query, event));
      if (events.length > 0) yield { events, cursor: at(after), reconnect: null };
      if (after < history.latestSequence) continue;
      using wait = firstOf([ended.signal], CHECKPOINT_MS);
      await watch.changed(wait.signal);
      if ((await parts.log.epoch()).id !== epochId) {
        yield { events: [], cursor: at(after), reconnect: 'the database was restored or failed over' };
        return;
      }
      if (wait.signal.aborted && !ended.signal.aborted) yield { events: [], cursor: at(after), reconnect: null };
    }
    if (!signal.aborted) yield { events: [], cursor: at(after), reconnect: 'the server is shutting down' };
  } finally {
    watch.close();
  }
}

async function startSequence(
  parts: { readonly repository: Pick<Repository, 'history'> },
  query: Subscribe,
  jobId: JobId,
  epochId: string,
): Promise<number> {
  const history = await parts.repository.history(jobId, 0, 1);
  if (history === null || history.namespace !== query.namespace) throw new RefusalError({ kind: 'job_not_found', jobId });
  if (query.start.kind === 'from_beginning') return 0;
  if (query.start.kind === 'from_now') return history.latestSequence;
  const cursor = readCursor(query, query.start.cursor);
  const known = cursor.kind === 'job' && cursor.epochId === epochId && cursor.sequence <= history.latestSequence;
  if (!known) throw new RefusalError({ kind: 'cursor_expired', why: 'it belongs to another history of the database' });
  return cursor.sequence;
}

function wanted({ types }: Subscribe, event: JobEvent): boolean {
  return types.length === 0 || types.includes(event.detail.type);
}
