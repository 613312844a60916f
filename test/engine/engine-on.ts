import { createEngine, type RunningEngine } from '../../src/engine/create-engine.ts';
import type { EventLog } from '../../src/engine/ports/event-log.ts';
import type { Watchers } from '../../src/engine/watchers.ts';
import type { Repository } from '../../src/engine/ports/repository.ts';

const unread = (): never => {
  throw new Error('the log was read');
};

/** A log that tells nothing: whoever wakes was woken by what this very engine did. */
export const silent: EventLog = {
  epoch: unread,
  readFrom: unread,
  watch: unread,
  watchMany: unread,
  keepReading: () => ({ close: () => undefined }),
  keepHearing: () => ({ close: () => undefined }),
  committed: () => undefined,
  committedAndTold: () => undefined,
};

/** The real engine on a real repository, with no upkeep but what the test asks for. */
export function engineOn(repository: Repository, log: EventLog = silent, watchers: Watchers = {}): RunningEngine {
  return createEngine({
    repository,
    log,
    watchers,
    random: () => 0,
    onFailure: (_what, error) => {
      throw error;
    },
    onHealthy: () => undefined,
  });
}

/** Opens once. */
export class Gate {
  #open: () => void = () => undefined;
  readonly opened: Promise<void> = new Promise((resolve) => {
    this.#open = resolve;
  });

  open(): void {
    this.#open();
  }
}
