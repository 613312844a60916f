import { eventType, type JobEvent } from '../../domain/event.ts';
import type { History, HistoryQuery, JobEvents } from '../ports/events.ts';

/** For the first event of a type with a higher sequence than `after`. */
export type FirstEventQuery = HistoryQuery & { readonly type: string };

export interface FirstEvent {
  readonly namespace: string;
  readonly latestSequence: number;
  /** Null: there is none up to `looked`. */
  readonly event: JobEvent | null;
  /** Up to where the history was looked through; below `latestSequence` the next read goes on from there. */
  readonly looked: number;
}

/** Events of each history that one read gives. */
const EVENTS_OF_EACH = 4;

/** Of many in one read, what several ask for once. It is of all their types, so that a history may hold more than is looked through. */
export function firstEvents(
  histories: JobEvents['histories'],
): (asked: readonly FirstEventQuery[]) => Promise<readonly (FirstEvent | null)[]> {
  return async (asked) => {
    const types = [...new Set(asked.map(({ type }) => type))];
    const distinct = new Map(asked.map(({ jobId, after }) => [`${jobId} ${after}`, { jobId, after }]));
    const read = await histories([...distinct.values()], EVENTS_OF_EACH, { types });
    const byQuery = new Map([...distinct.keys()].map((key, index) => [key, read[index] ?? null]));
    return asked.map((query) => firstOfType(byQuery.get(`${query.jobId} ${query.after}`) ?? null, query.type));
  };
}

function firstOfType(history: History | null, type: string): FirstEvent | null {
  if (history === null) return null;
  const { namespace, latestSequence, events, isCut = false } = history;
  const last = isCut || events.length === EVENTS_OF_EACH ? events.at(-1) : undefined;
  return {
    namespace,
    latestSequence,
    event: events.find((event) => eventType(event) === type) ?? null,
    looked: last?.sequence ?? latestSequence,
  };
}
