import type { JobEvent } from '../../../src/domain/event.ts';
import type { History } from '../../../src/engine/ports/repository.ts';
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

  /** The job as another history has it. */
  restore(events: number): void {
    this.events.splice(events);
    this.#epochId = '9b2e1c1e-6a7c-4a3f-8a57-000000000002';
  }

  history = (_jobId: unknown, after: number, limit: number): Promise<History | null> => {
    const { length: latestSequence } = this.events;
    return Promise.resolve({ namespace: 'n', events: this.events.slice(after, after + limit), latestSequence });
  };

  epoch = () => Promise.resolve({ number: 1, id: this.#epochId });

  watch = (): Promise<JobWatch> => {
    this.watches += 1;
    const changed = async (signal: AbortSignal) => {
      if (!this.#hinted) await this.#changed.wait(signal);
      this.#hinted = false;
    };
    return Promise.resolve({ changed, close: () => void (this.watches -= 1) });
  };

  readFrom = () => Promise.reject(new EpochEnded());
  keepReading = () => ({ close: () => undefined });
  committed = () => undefined;
}
