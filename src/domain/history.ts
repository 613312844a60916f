import { type EventDetail, stateAfter, type JobEvent } from './event.ts';
import type { JobState } from './job.ts';
import { isTerminal } from './job.ts';
import { isAllowed } from './transition.ts';

/** What a job's events, taken alone, say it is. */
export interface Folded {
  readonly state: JobState;
  readonly life: number;
  readonly attempt: number;
  readonly fence: bigint;
  readonly lastSequence: number;
}

export interface Violation {
  /** The promise that is broken, as docs/guarantees.md numbers them. */
  readonly invariant: 'I3' | 'I4' | 'I5' | 'I7' | 'I8' | 'I9' | 'I11' | 'I16';
  readonly detail: string;
}

/** Folds a job's events, oldest first, and tells every promise they break on the way. */
function foldEvents(events: readonly JobEvent[]): { folded: Folded | null; violations: Violation[] } {
  const violations: Violation[] = [];
  let folded: Folded | null = null;
  for (const event of events) {
    violations.push(...stepViolations(folded, event));
    folded = foldEvent(event);
  }
  return { folded, violations };
}

/** What a job is once the event is true. */
export function foldEvent({ detail, life, attempt, fence, sequence }: JobEvent): Folded {
  return { state: stateAfter(detail), life, attempt, fence, lastSequence: sequence };
}

/** The promises that an event breaks behind what came before it. */
export function stepViolations(before: Folded | null, event: JobEvent): Violation[] {
  const found: Violation[] = [];
  const at = `event ${event.sequence} (${event.detail.type})`;
  const after = stateAfter(event.detail);
  if (event.sequence !== (before?.lastSequence ?? 0) + 1) {
    found.push({ invariant: 'I8', detail: `${at} follows sequence ${before?.lastSequence ?? 0}` });
  }
  if (event.state !== after) found.push({ invariant: 'I9', detail: `${at} carries state ${event.state}, its type leads to ${after}` });
  if (!isStep(before?.state ?? null, event.detail)) {
    const invariant = before !== null && isTerminal(before.state) ? 'I3' : 'I9';
    found.push({ invariant, detail: `${at} is no transition from ${before?.state ?? 'nothing'} to ${after}` });
  }
  if (before === null) return found;
  if (event.fence < before.fence) found.push({ invariant: 'I5', detail: `${at} lowers the fence from ${before.fence} to ${event.fence}` });
  if (event.detail.type === 'claimed' && event.fence <= before.fence) {
    found.push({ invariant: 'I5', detail: `${at} was claimed under fence ${event.fence}, not above ${before.fence}` });
  }
  return found;
}

/** A custom event is of a job that goes on, and leaves it where it is. */
function isStep(from: JobState | null, detail: EventDetail): boolean {
  if (detail.type !== 'custom') return isAllowed(from, detail.type, stateAfter(detail));
  return from !== null && !isTerminal(from) && detail.state === from;
}

/** Where a job's one moving row lies, or its end; several entries mean a broken promise. */
export interface Holding {
  readonly state: JobState;
  readonly life: number;
  readonly attempt: number;
  readonly fence: bigint;
  readonly sequence: number;
}

/** Compares a job's rows with its events: the whole of what `CheckInvariants` says about one job. */
export function jobViolations(job: {
  readonly holdings: readonly Holding[];
  readonly events: readonly JobEvent[];
  readonly maxAttempts: number;
}): Violation[] {
  const { folded, violations } = foldEvents(job.events);
  const [holding] = job.holdings;
  if (folded === null) return [...violations, { invariant: 'I8', detail: 'the job has no event' }];
  if (holding === undefined || job.holdings.length > 1) {
    const places = job.holdings.map((place) => place.state).join(', ');
    const invariant = job.holdings.filter((place) => isTerminal(place.state)).length > 1 ? 'I3' : 'I4';
    return [...violations, { invariant, detail: `the job lies in ${job.holdings.length} places (${places}), not in one` }];
  }
  if (!sameFold(folded, holding))
    violations.push({ invariant: 'I9', detail: `events say ${say(folded)}, rows say ${say(foldOf(holding))}` });
  if (holding.attempt > job.maxAttempts) {
    violations.push({ invariant: 'I7', detail: `attempt ${holding.attempt} of at most ${job.maxAttempts}` });
  }
  return violations;
}

function foldOf(holding: Holding): Folded {
  return {
    state: holding.state,
    life: holding.life,
    attempt: holding.attempt,
    fence: holding.fence,
    lastSequence: holding.sequence,
  };
}

function sameFold(folded: Folded, holding: Holding): boolean {
  return say(folded) === say(foldOf(holding));
}

function say(folded: Folded): string {
  return `${folded.state} life ${folded.life} attempt ${folded.attempt} fence ${folded.fence} sequence ${folded.lastSequence}`;
}
