import type { Repository } from '../../engine/ports/repository.ts';
import type { Run } from '../database.ts';
import { InVain } from '../in-vain.ts';
import type { KnownRecords } from '../known-records.ts';
import { claim, placesOf } from './claim.ts';
import { claimPlain } from './claim-plain.ts';

/** Claims by the lesser statement where that serves, and by the whole one where it does not. What is given is known to who ends it. */
export function claimer(run: Run, now: () => string | null, records: KnownRecords): Repository['claim'] {
  const inVain = new InVain<number>();
  return async (queues, slots, types = [], channel = 'pull') => {
    const [queue] = queues;
    if (queue !== undefined && queues.length === 1 && types.length === 0 && !inVain.has(queue.id)) {
      const given = await claimPlain(run, now(), { queue, slots, slotOf: placesOf(slots), channel, records });
      if (given !== null) return given;
      inVain.add(queue.id);
    }
    return claim(run, now(), queues, slots, types, channel);
  };
}
