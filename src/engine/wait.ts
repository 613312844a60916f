import { setMaxListeners } from 'node:events';

/** An abort signal that is the first of several, or of a time; leaves no listener behind once disposed. */
export interface Wait {
  readonly signal: AbortSignal;
  [Symbol.dispose](): void;
}

/**
 * Aborts with the first of `signals`, or after `afterMs`. Not `AbortSignal.any`: with a source that lives as long as the
 * process, what that makes is never collected on Node 20.
 */
export function firstOf(signals: readonly AbortSignal[], afterMs: number | null = null): Wait {
  const controller = new AbortController();
  const abort = () => controller.abort();
  // Thousands may wait for the same end; each takes its listener back, so their number tells of no leak.
  setMaxListeners(0, ...signals);
  const timer = afterMs === null ? null : setTimeout(abort, afterMs);
  for (const signal of signals) signal.addEventListener('abort', abort);
  if (signals.some((signal) => signal.aborted)) abort();
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      if (timer !== null) clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener('abort', abort);
    },
  };
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

/** Resolves when this turn of the event loop has brought what it brings; at once where nothing else is there. */
export function turnEnd(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
