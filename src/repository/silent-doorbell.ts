import type { Doorbell } from '../engine/ports/doorbell.ts';

/** So often operators' changes of queues are looked for where nobody tells of them. */
const QUEUES_INTERVAL_MS = 1_000;

/**
 * Where no connection can listen: behind a transaction pooler alone. The log is looked at once a second in any case; what other replicas tell of the
 * progress of jobs is not heard, so nobody tells it.
 */
export function createSilentDoorbell(): Doorbell {
  let asking: NodeJS.Timeout | null = null;
  return {
    ring: () => undefined,
    tell: async () => undefined,
    listen: async ({ onQueues }) => {
      asking = setInterval(onQueues, QUEUES_INTERVAL_MS);
    },
    close: async () => {
      if (asking !== null) clearInterval(asking);
    },
  };
}
