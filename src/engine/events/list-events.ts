import type { Result } from '../../domain/error.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { EventPage, ListEvents } from '../engine.ts';
import type { Repository } from '../ports/repository.ts';

/** A job's history, ascending; with a type filter a page may be short and still have more behind it. */
export async function listEvents(repository: Pick<Repository, 'history'>, query: ListEvents): Promise<Result<EventPage>> {
  const { namespace, jobId, afterSequence, types, pageSize } = query;
  const looked = types.length === 0 ? pageSize : LIMITS.pageItems;
  const history = await repository.history(jobId, afterSequence, looked);
  if (history === null || history.namespace !== namespace) return { ok: false, refusal: { kind: 'job_not_found', jobId } };
  const matching = history.events.filter((event) => types.length === 0 || types.includes(event.detail.type));
  const events = matching.slice(0, pageSize);
  const last = events.length === pageSize ? events.at(-1) : history.events.at(-1);
  const more = last !== undefined && last.sequence < history.latestSequence;
  return { ok: true, value: { events, latestSequence: history.latestSequence, nextAfter: more ? last.sequence : null } };
}
