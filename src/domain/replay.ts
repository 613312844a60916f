/** A job's events folded into all that they determine, and compared with what is stored of it. */
import type { JobEvent } from './event.ts';
import { foldEvent, type Folded, type Holding, stepViolations } from './history.ts';
import { isTerminal, type JobId, type JobState, type Micros } from './job.ts';

/** One place where the rows of a job say that it stands. */
export interface Standing extends Holding {
  readonly priority: number;
  /** Of a deferred job: when it becomes READY. */
  readonly dueAt: Micros | null;
  /** Of a held one whose cancellation was asked for. */
  readonly cancelDeadline: Micros | null;
  readonly finishedAt: Micros | null;
  /** The code, of one that is over. */
  readonly failure: string | null;
  readonly hasResult: boolean;
}

/** A job as it is read at one instant. */
export interface ReplayedJob {
  readonly jobId: JobId;
  /** Ascending. */
  readonly events: readonly JobEvent[];
  /** One in a sound database. */
  readonly places: readonly Standing[];
}

export type ReplayField =
  | 'place'
  | 'state'
  | 'life'
  | 'attempt'
  | 'fence'
  | 'last_sequence'
  | 'priority'
  | 'due_at'
  | 'cancel_deadline'
  | 'finished_at'
  | 'failure'
  | 'result'
  | 'event';

export interface ReplayDifference {
  readonly jobId: JobId;
  readonly field: ReplayField;
  /** What the events come to; empty for nothing. */
  readonly folded: string;
  readonly stored: string;
  /** The event that says so; 0 for none. */
  readonly atSequence: number;
}

/** Of one job; its first ones say enough. */
const EVENT_DIFFERENCES = 20;

type Difference = Omit<ReplayDifference, 'jobId'>;

/** A value with the event that told it last. */
interface Said<Value> {
  readonly value: Value;
  readonly at: number;
}

const NEVER_SAID = { value: null, at: 0 };

interface Fold {
  readonly folded: Folded;
  readonly priority: Said<number>;
  /** What a deferred job waits for. */
  readonly dueAt: Said<Micros | null>;
  readonly cancelDeadline: Said<Micros | null>;
  readonly last: JobEvent;
}

/** Everything that differs; empty is sound. */
export function replayDifferences({ jobId, events, places }: ReplayedJob): ReplayDifference[] {
  const { fold, differences } = foldAll(events);
  return [...differences, ...comparePlaces(fold, places)].map((difference) => ({ jobId, ...difference }));
}

function foldAll(events: readonly JobEvent[]): { fold: Fold | null; differences: Difference[] } {
  let fold: Fold | null = null;
  const differences: Difference[] = [];
  for (const event of events) {
    for (const { detail } of stepViolations(fold?.folded ?? null, event)) {
      if (differences.length === EVENT_DIFFERENCES) break;
      differences.push({ field: 'event', folded: '', stored: detail, atSequence: event.sequence });
    }
    fold = step(fold, event);
  }
  return { fold, differences };
}

function step(before: Fold | null, event: JobEvent): Fold {
  const isNewLife = before !== null && before.folded.life !== event.life;
  const kept = before ?? { priority: { value: 0, at: 0 }, dueAt: NEVER_SAID, cancelDeadline: NEVER_SAID };
  const cancelDeadline = isNewLife ? NEVER_SAID : kept.cancelDeadline;
  return { priority: kept.priority, dueAt: kept.dueAt, cancelDeadline, ...told(event), folded: foldEvent(event), last: event };
}

/** What an event says besides where its job stands. */
function told({ detail, sequence: at }: JobEvent): Partial<Pick<Fold, 'priority' | 'dueAt' | 'cancelDeadline'>> {
  switch (detail.type) {
    case 'enqueued':
      return { priority: { value: detail.priority, at }, dueAt: { value: detail.runAt, at } };
    case 'released':
      return { dueAt: { value: detail.runAt, at } };
    case 'retry_scheduled':
      return { dueAt: { value: detail.retryAt, at } };
    case 'cancel_requested':
      return { cancelDeadline: { value: detail.cancelDeadline, at } };
    case 'updated': {
      const { priority, runAt } = detail.change;
      return {
        ...(priority === undefined ? {} : { priority: { value: priority, at } }),
        ...(runAt === undefined ? {} : { dueAt: { value: runAt, at } }),
      };
    }
    default:
      return {};
  }
}

function comparePlaces(fold: Fold | null, places: readonly Standing[]): Difference[] {
  const [place] = places;
  if (fold === null) return [{ field: 'event', folded: '', stored: 'the job has no event', atSequence: 0 }];
  const { state, lastSequence } = fold.folded;
  if (place === undefined || places.length > 1) {
    return [{ field: 'place', folded: state, stored: places.map((one) => one.state).join(', '), atSequence: lastSequence }];
  }
  return compared(fold, place).flatMap(([field, folded, stored, atSequence]) =>
    folded === stored ? [] : [{ field, folded, stored, atSequence }],
  );
}

/** Field, what the events come to, what is stored, the event that says so. */
type Comparison = readonly [ReplayField, string, string, number];

function compared(fold: Fold, place: Standing): Comparison[] {
  const { folded, priority } = fold;
  const at = folded.lastSequence;
  return [
    ['state', folded.state, place.state, at],
    ['life', String(folded.life), String(place.life), at],
    ['attempt', String(folded.attempt), String(place.attempt), at],
    ['fence', String(folded.fence), String(place.fence), at],
    ['last_sequence', String(at), String(place.sequence), at],
    ['priority', String(priority.value), String(place.priority), priority.at],
    // What a state alone has is compared where the rows are of that state too: else `state` tells it.
    ...(folded.state === place.state ? comparedInState(fold, place) : []),
  ];
}

const DEFERRED: readonly JobState[] = ['SCHEDULED', 'RETRY_WAIT'];
const HELD: readonly JobState[] = ['LEASED', 'RUNNING'];

function comparedInState({ folded, dueAt, cancelDeadline, last }: Fold, place: Standing): Comparison[] {
  if (DEFERRED.includes(folded.state)) return [['due_at', time(dueAt.value), time(place.dueAt), dueAt.at]];
  if (HELD.includes(folded.state)) {
    return [['cancel_deadline', time(cancelDeadline.value), time(place.cancelDeadline), cancelDeadline.at]];
  }
  if (!isTerminal(folded.state)) return [];
  const { detail, occurredAt, sequence } = last;
  return [
    ['finished_at', time(occurredAt), time(place.finishedAt), sequence],
    ...('failure' in detail ? [['failure', detail.failure.code, place.failure ?? '', sequence] as const] : []),
    ...(folded.state === 'SUCCEEDED' ? [] : [['result', '', place.hasResult ? 'a result' : '', sequence] as const]),
  ];
}

/** RFC 3339, to the microsecond; empty for none. */
function time(at: Micros | null): string {
  if (at === null) return '';
  const micros = ((at % 1_000_000) + 1_000_000) % 1_000_000;
  return `${new Date((at - micros) / 1_000).toISOString().slice(0, -5)}.${String(micros).padStart(6, '0')}Z`;
}
