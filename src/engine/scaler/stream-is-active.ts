import type { ScaleTrigger } from '../../domain/scaling.ts';
import type { EventLog } from '../ports/event-log.ts';
import type { Repository } from '../ports/repository.ts';
import type { QueueChanges } from '../queues/queue-changes.ts';
import { aborted, firstOf, recheckMs } from '../wait.ts';
import { queueLoad } from './queue-load.ts';

/** So long after a look an idle queue is not looked at again; a change that comes later than that is looked at at once. */
const IDLE_GAP_MS = 100;
/** The same of an active one: each change of a busy queue would have it looked at, and that it is idle can wait. */
const ACTIVE_GAP_MS = 1_000;

export interface StreamIsActiveParts {
  readonly repository: Pick<Repository, 'queueStats'>;
  readonly log: Pick<EventLog, 'keepHearing'>;
  /** Fires for a queue when a job of it is READY, waits no more or is over, and when an operator changed it. */
  readonly queueChanges: QueueChanges;
  /** Aborts when the stream is to end in order. */
  readonly draining: AbortSignal;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** Whether there is work: at once, then each time that changes, until it is to end. The read is the truth, changes only hint. */
export async function* streamIsActive(parts: StreamIsActiveParts, trigger: ScaleTrigger, signal: AbortSignal): AsyncGenerator<boolean> {
  const hearing = parts.log.keepHearing();
  using watch = parts.queueChanges.watch(trigger.queue);
  using ended = firstOf([signal, parts.draining]);
  try {
    let told: boolean | null = null;
    while (!ended.signal.aborted) {
      const lookedAt = performance.now();
      const { isActive, activeInMs } = await queueLoad(parts, trigger);
      if (isActive !== told) yield isActive;
      told = isActive;
      using wait = firstOf([ended.signal], Math.min(recheckMs(parts), activeInMs ?? Number.POSITIVE_INFINITY));
      await watch.changed(wait.signal);
      const gapMs = lookedAt + (isActive ? ACTIVE_GAP_MS : IDLE_GAP_MS) - performance.now();
      if (gapMs <= 0) continue;
      using gap = firstOf([ended.signal], gapMs);
      await aborted(gap.signal);
    }
  } finally {
    hearing.close();
  }
}
