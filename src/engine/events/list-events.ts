import type { Result } from '../../domain/error.ts';
import type { EventPage, ListEvents } from '../engine.ts';
import type { Repository } from '../ports/repository.ts';

/** A page of a job's history, ascending. */
export async function listEvents(repository: Pick<Repository, 'history'>, query: ListEvents): Promise<Result<EventPage>> {
  const { namespace, jobId, afterSequence, types, recent, pageSize } = query;
  const wanted = { ...(types.length === 0 ? {} : { types }), ...(recent === undefined ? {} : { recent }) };
  const history = await repository.history(jobId, afterSequence, pageSize, wanted);
  if (history === null || history.namespace !== namespace) return { ok: false, refusal: { kind: 'job_not_found', jobId } };
  const { events, latestSequence, isCut = false } = history;
  const last = events.at(-1);
  const more = last !== undefined && (isCut || events.length === pageSize) && last.sequence < latestSequence;
  return { ok: true, value: { events, latestSequence, nextAfter: more ? last.sequence : null } };
}
