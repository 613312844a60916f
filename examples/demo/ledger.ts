import type { Event } from '../../gen/stint/v1/event.ts';
import { DemoProblem } from './arguments.ts';

const terminalTypes = new Set(['succeeded', 'failed', 'cancelled', 'abandoned']);

/** What the follower has seen: each job's events in order, and the counts that the progress bar shows. */
export class Ledger {
  readonly #events = new Map<string, Event[]>();
  readonly #watchers = new Set<() => void>();
  ended = 0;
  retries = 0;
  repeats = 0;
  readonly faults: string[] = [];

  record(event: Event): void {
    const known = this.#events.get(event.jobId) ?? [];
    this.#events.set(event.jobId, known);
    const last = known.at(-1);
    if (event.sequence <= (last?.sequence ?? 0n)) {
      // At least once, from a cursor: (job, sequence) tells a repeat.
      this.repeats += 1;
      return;
    }
    if (event.sequence !== (last?.sequence ?? 0n) + 1n) this.faults.push(`${event.jobId}: gap before event ${event.sequence}`);
    if (last !== undefined && isTerminal(last)) this.faults.push(`${event.jobId}: ${event.type} after its terminal event`);
    known.push(event);
    this.#count(event);
    for (const watcher of this.#watchers) watcher();
  }

  eventsOf(jobId: string): readonly Event[] {
    return this.#events.get(jobId) ?? [];
  }

  /** Resolves once the given number of jobs has ended; rejects when none has for `stalledMs`. */
  untilEnded(count: number, stalledMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void) => {
        this.#watchers.delete(look);
        signal.removeEventListener('abort', interrupted);
        clearTimeout(alarm);
        settle();
      };
      const stalled = () =>
        finish(() => reject(new DemoProblem(`no event for ${stalledMs / 1000} s; ${this.ended} of ${count} jobs have ended`)));
      const interrupted = () => finish(() => reject(new Error('interrupted')));
      const look = () => {
        alarm.refresh();
        if (this.ended >= count) finish(resolve);
      };
      const alarm = setTimeout(stalled, stalledMs);
      this.#watchers.add(look);
      signal.addEventListener('abort', interrupted, { once: true });
      if (signal.aborted) interrupted();
      else look();
    });
  }

  #count(event: Event): void {
    if (event.type === 'retry_scheduled') this.retries += 1;
    if (isTerminal(event)) this.ended += 1;
  }
}

export function isTerminal(event: Event): boolean {
  return terminalTypes.has(event.type);
}
