import { RefusalError } from '../../domain/error.ts';
import { isDrained, type JobCounts, type QueueName, type QueueStatus } from '../../domain/queue.ts';
import { endingOf } from '../ending.ts';
import type { EventLog } from '../ports/event-log.ts';
import type { Repository } from '../ports/repository.ts';
import type { Signal } from '../ports/signal.ts';
import { aborted, firstOf } from '../wait.ts';

/** The state is read again after this, should every hint have been lost. */
const RECHECK_MS = 5_000;
/** Under load it is told no more often. */
const GAP_MS = 100;

export interface WaitDrainedParts {
  readonly repository: Pick<Repository, 'drainState'>;
  readonly log: Pick<EventLog, 'keepReading'>;
  /** Fires when a queue has fewer jobs in flight or waiting, or an operator changed one. */
  readonly changes: Signal;
  /** Aborts when the stream is to end in order. */
  readonly draining: AbortSignal;
}

export interface Drained {
  readonly drained: boolean;
  readonly counts: JobCounts;
  readonly status: QueueStatus;
}

/** How far a draining queue is: at once, then at changes, last with `drained`. The read is the truth, events only hint. */
export async function* waitDrained(parts: WaitDrainedParts, name: QueueName, signal: AbortSignal): AsyncGenerator<Drained> {
  const reading = parts.log.keepReading();
  using ended = firstOf([signal, parts.draining]);
  try {
    let told = '';
    while (!signal.aborted) {
      if (parts.draining.aborted) throw new RefusalError({ kind: endingOf(parts.draining) });
      using wait = firstOf([ended.signal], RECHECK_MS);
      // Listened for before it is read: what is committed after the read is heard.
      const changed = parts.changes.wait(wait.signal);
      const state = await stateOf(parts, name);
      if (JSON.stringify(state) !== told) yield state;
      if (state.drained) return;
      told = JSON.stringify(state);
      await changed;
      using gap = firstOf([ended.signal], GAP_MS);
      await aborted(gap.signal);
    }
  } finally {
    reading.close();
  }
}

async function stateOf({ repository }: WaitDrainedParts, name: QueueName): Promise<Drained> {
  const state = await repository.drainState(name);
  if (state === null) throw new RefusalError({ kind: 'queue_not_found', namespace: name.namespace, queue: name.name });
  const { status, counts } = state;
  if (counts === null || status === 'ACTIVE' || status === 'PAUSED') {
    throw new RefusalError({ kind: 'not_draining', queue: name.name, status });
  }
  return { drained: isDrained(status, counts), counts, status };
}
