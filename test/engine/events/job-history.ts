import { eventType, type JobEvent } from '../../../src/domain/event.ts';
import type { History, HistoryQuery, WantedEvents } from '../../../src/engine/ports/events.ts';
import { EpochEnded, type EventLog, type JobWatch } from '../../../src/engine/ports/event-log.ts';
import { Signal } from '../../../src/engine/ports/signal.ts';
import { event } from '../../feed/memory-journal.ts';

/** The history of one job, told by the test; a change is hinted only where the test says so. */
export class JobHistory implements Pick<EventLog, 'epoch' | 'watch'> {
  readonly events: JobEvent[] = [];
  readonly #changed = new Signal();
  #epochId = '9b2e1c1e-6a7c-4a3f-8a57-000000000001';
  #hinted = false;
  watches = 0;

  append(partial: Partial<JobEvent> = {}): void {
    this.events.push(event(1, { ...partial, sequence: this.events.length + 1 }));
  }

  hint(): void {
    this.#hinted = true;
    this.#changed.fire();
  }

  /** The job as another history has it, of which nothing else tells. */
  putBack(events: number): void {
    this.events.splice(events);
  }

  /** The job as another history has it. */
  restore(events: number): void {
    this.putBack(events);
    this.#epochId = '9b2e1c1e-6a7c-4a3f-8a57-000000000002';
  }

  /** What was asked for, in turn. */
  readonly reads: { readonly after: number; readonly limit: number }[] = [];
  /** Happens once, between a read and its answer. */
  afterRead: () => void = () => undefined;
  /** Null once the job is pruned. */
  isPruned = false;

  history = (_jobId: unknown, after: number, limit: number, { types }: WantedEvents = {}): Promise<History | null> => {
    this.reads.push({ after, limit });
    if (this.isPruned) return Promise.resolve(null);
    const { length: latestSequence } = this.events;
    const wanted = this.events.slice(after).filter((one) => types === undefined || types.includes(eventType(one)));
    this.afterRead();
    this.afterRead = () => undefined;
    return Promise.resolve({ namespace: 'n', events: wanted.slice(0, limit), latestSequence });
  };

  histories = (asked: readonly HistoryQuery[], limit: number, wanted?: WantedEvents) =>
    Promise.all(asked.map(({ jobId, after }) => this.history(jobId, after, limit, wanted)));

  /** As many as a common read gives. */
  submit = ({ jobId, after }: HistoryQuery) => this.history(jobId, after, 8);

  epoch = () => Promise.resolve({ number: 1, id: this.#epochId });

  watch = (): Promise<JobWatch> => {
    this.watches += 1;
    const changed = async (signal: AbortSignal) => {
      if (!this.#hinted) await this.#changed.wait(signal);
      const hinted = this.#hinted;
      this.#hinted = false;
      return hinted;
    };
    return Promise.resolve({ changed, close: () => void (this.watches -= 1) });
  };

  watchMany = () => Promise.reject(new Error('nobody awaits'));
  readFrom = () => Promise.reject(new EpochEnded());
  keepReading = () => ({ close: () => undefined });
  keepHearing = () => ({ close: () => undefined });
  committed = () => undefined;
  committedAndTold = () => undefined;
}
