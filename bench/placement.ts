/** Which process takes which callers of a cell, and where each of them works. */
import { callersOf, type Cell, keysOf, throughOf, type Variant } from './cells.ts';
import type { Place, Task } from './messages.ts';

export interface Ground {
  /** One for each replica. */
  readonly targets: readonly string[];
  readonly queue: string;
}

/** A task for each of so many processes, as even as it goes; null for one without a caller. */
export function tasksOf(cell: Cell, variant: Variant, ground: Ground, processes: number): readonly (Task | null)[] {
  const callers = Array.from({ length: callersOf(cell, variant) }, (_, caller) => caller);
  return Array.from({ length: processes }, (_, process) => {
    const own = callers.filter((caller) => caller % processes === process);
    return own.length === 0 ? null : taskOf(cell, variant, ground, own);
  });
}

function taskOf(cell: Cell, variant: Variant, { targets, queue }: Ground, callers: readonly number[]): Task {
  const { load, batch, queues, payloadBytes, credits, own } = cell;
  const of = callersOf(cell, variant);
  const place = (caller: number): Place => ({
    target: targets[caller % targets.length] ?? '',
    queue,
    queues,
    batch,
    keys: keysOf(variant),
    through: throughOf(variant),
    payloadBytes,
    credits,
  });
  const apart = (caller: number): Place => ({ ...place(caller), share: own === 'queues' ? { number: caller, of } : undefined });
  const areApart = own !== undefined || targets.length > 1;
  return { ...place(0), load, callers: callers.length, places: areApart ? callers.map(apart) : undefined };
}
