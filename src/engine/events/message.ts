import { eventBytes, eventType, type JobEvent } from '../../domain/event.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Subscribe } from '../engine.ts';

/** Sizes are guessed from below, and the last event may pass the bound: half of what a message may be is safe. */
const FULL_BYTES = LIMITS.eventMessageBytes / 2;

export function wants({ namespace, scope, types }: Subscribe, event: JobEvent): boolean {
  if (event.namespace !== namespace) return false;
  if (scope.kind === 'queue' && event.queue !== scope.queue) return false;
  return types.length === 0 || types.includes(eventType(event));
}

/** Cuts into runs that each fit a message, in order; `eventOf` tells the event of an item. */
export function cutIntoMessages<Item>(items: readonly Item[], eventOf: (item: Item) => JobEvent): Item[][] {
  const messages: Item[][] = [];
  let [last, bytes]: [Item[], number] = [[], 0];
  for (const item of items) {
    if (messages.length === 0 || last.length === LIMITS.eventsPerMessage || bytes >= FULL_BYTES) {
      [last, bytes] = [[], 0];
      messages.push(last);
    }
    last.push(item);
    bytes += eventBytes(eventOf(item));
  }
  return messages;
}
