import { setMaxListeners } from 'node:events';

/** An abort signal that is the first of several, or of a time; leaves no listener behind once disposed. */
export interface Wait {
  readonly signal: AbortSignal;
  [Symbol.dispose](): void;
}

/** Nobody asks why a wait is over; without a reason an error is made for each, with its stack. */
const OVER = 'over';

/**
 * Aborts with the first of `signals`, or after `afterMs`. Not `AbortSignal.any`: with a source that lives as long as the
 * process, what that makes is never collected on Node 20.
 */
export function firstOf(signals: readonly AbortSignal[], afterMs: number | null = null): Wait {
  const controller = new AbortController();
  // Each takes its listener back, so their number tells of no leak.
  setMaxListeners(0, ...signals);
  const abort = () => controller.abort(OVER);
  const timer = afterMs === null ? null : setTimeout(abort, afterMs);
  for (const signal of signals) listen(signal, abort);
  if (signals.some((signal) => signal.aborted)) abort();
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      if (timer !== null) clearTimeout(timer);
      for (const signal of signals) unlisten(signal, abort);
    },
  };
}

/** Listeners of signals that thousands wait for: Node looks through all of a signal for each that comes or goes, so they stand behind one. */
const crowds = new WeakMap<AbortSignal, Set<() => void>>();

/** Makes waiting for this signal cheap however many do. Once for a signal, which keeps one listener for good. */
export function expectCrowd(signal: AbortSignal): void {
  const crowd = new Set<() => void>();
  crowds.set(signal, crowd);
  signal.addEventListener('abort', () => [...crowd].forEach((listener) => listener()), { once: true });
}

function listen(signal: AbortSignal, listener: () => void): void {
  const crowd = crowds.get(signal);
  if (crowd === undefined) signal.addEventListener('abort', listener);
  else crowd.add(listener);
}

function unlisten(signal: AbortSignal, listener: () => void): void {
  const crowd = crowds.get(signal);
  if (crowd === undefined) signal.removeEventListener('abort', listener);
  else crowd.delete(listener);
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

/** After so long without a message, and a second at most, one shows that a wait is alive. */
export const SIGN_OF_LIFE_MS = 29_000;

/**
 * A wait that nobody hinted at looks again after this, should every hint have been lost, at a moment of the second half:
 * those who began together spread. The feed looks at the log each second, so nothing but a defect of it is found so.
 */
const RECHECK_MS = 120_000;

/** Until a wait that nobody hinted at looks for itself. */
export function recheckMs({ random }: { readonly random: () => number }): number {
  return (RECHECK_MS * (1 + random())) / 2;
}

/** Waits that are not urgent end on this grid: who looks then looks with others in one statement, and who writes, in one packet. */
const GRID_MS = 1_000;

/** The last line of the grid, by `performance.now()`. */
export function lastGridLine(): number {
  return Math.floor(performance.now() / GRID_MS) * GRID_MS;
}

/** Milliseconds until the grid's first line at which `waitMs` have passed, of this process' clock. */
export function untilGrid(waitMs: number): number {
  const now = performance.now();
  return Math.ceil((now + waitMs) / GRID_MS) * GRID_MS - now;
}
