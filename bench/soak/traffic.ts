/** What goes on beside the recorded load: bulk work, and clients that keep no manners. Each runs until it is told to end. */
import { setTimeout as pause } from 'node:timers/promises';
import { connect, seconds, type Stint } from '../../test/contract/stint.ts';
import { prepareGround } from '../../test/leaks/ground.ts';
import { Reader } from '../../test/leaks/reader.ts';
import { vanish } from '../../test/leaks/vanishing.ts';

/** Whose jobs nobody writes down; the service itself is asked at the end whether they are sound. */
export const NAMESPACES = ['bulk', 'vanishing', 'lag'] as const;

const [BULK, VANISHING] = NAMESPACES;
const QUEUE = 'work';

const BULK_JOBS = 200;
const BULK_REST_MS = 1_000;

/** Whole lives by the hundred: enqueued on one replica, claimed and settled on the other; some fail, some are given back. */
export async function bulk(here: string, there: string, ending: AbortSignal): Promise<void> {
  await withClients([here, there], async ([producer, worker]) => {
    while (!ending.aborted) {
      await producer.enqueueBatch({
        namespace: BULK,
        jobs: Array.from({ length: BULK_JOBS }, () => ({ queue: QUEUE, payload: Buffer.alloc(500) })),
      });
      const { jobs } = await worker.claim({ namespace: BULK, workerId: 'bulk', queues: [QUEUE], maxJobs: BULK_JOBS, wait: seconds(1) });
      const settlements = jobs.map(({ lease }, at) => ({ leaseToken: lease?.leaseToken ?? '', action: actionOf(at) }));
      if (settlements.length > 0) await worker.settle({ settlements });
      await rest(BULK_REST_MS, ending);
    }
  });
}

function actionOf(at: number) {
  if (at % 50 === 0) return { $case: 'fail' as const, fail: { failure: { code: 'soak.failed' } } };
  if (at % 30 === 0) return { $case: 'release' as const, release: {} };
  return { $case: 'ack' as const, ack: { result: Buffer.alloc(100) } };
}

const CALLS_AT_ONCE = 200;
const LEASES_AT_ONCE = 60;
/** Short, so that those whose holder has gone lapse during the run. */
const LEASE_SECONDS = 5;
const VANISH_REST_MS = 500;

/** Clients that vanish in the middle of each call, from one replica and from the other. Gives how many calls that were. */
export async function vanishing(addresses: readonly string[], ending: AbortSignal): Promise<number> {
  let calls = 0;
  await withClients([addresses[0] ?? '', addresses[0] ?? ''], async ([stint]) => {
    const ground = await prepareGround(stint, VANISHING, LEASE_SECONDS);
    while (!ending.aborted) {
      for (const address of addresses) {
        await ground.stock(LEASES_AT_ONCE);
        await vanish(address, ground, CALLS_AT_ONCE);
        await tidyUp(stint);
        calls += CALLS_AT_ONCE;
      }
      await rest(VANISH_REST_MS, ending);
    }
  });
  return calls;
}

/** Ends what they have left: a backlog that grows would pass for a leak. */
async function tidyUp(stint: Stint): Promise<void> {
  const { jobs } = await stint.claim({ namespace: VANISHING, workerId: 'tidy', queues: [QUEUE], maxJobs: 1_000 });
  const settlements = jobs.map(({ lease }) => ({ leaseToken: lease?.leaseToken ?? '', action: { $case: 'ack' as const, ack: {} } }));
  if (settlements.length > 0) await stint.settle({ settlements });
}

const READERS = 5;
/** Half of it they read, half of it they stand still; then they leave, and others come. */
const TURN_MS = 20_000;

/** Subscribers to all the bulk work, from its beginning, that stop reading now and then. Gives the events that came out of turn. */
export async function haltingReaders(addresses: readonly string[], ending: AbortSignal): Promise<number> {
  let outOfTurn = 0;
  for (let turn = 0; !ending.aborted; turn += 1) {
    const readers = Array.from({ length: READERS }, () => new Reader(addresses[turn % addresses.length] ?? '', BULK));
    await rest(TURN_MS / 4, ending);
    for (const reader of readers) reader.stop();
    await rest(TURN_MS / 2, ending);
    for (const reader of readers) reader.goOn();
    await rest(TURN_MS / 4, ending);
    for (const reader of readers) {
      reader.leave();
      outOfTurn += reader.outOfTurn.length;
    }
  }
  return outOfTurn;
}

async function withClients(
  [here, there]: readonly [string, string],
  work: (clients: readonly [Stint, Stint]) => Promise<void>,
): Promise<void> {
  const clients = [connect(here), connect(there)] as const;
  try {
    await work(clients);
  } finally {
    for (const client of clients) client.close();
  }
}

async function rest(milliseconds: number, ending: AbortSignal): Promise<void> {
  await pause(milliseconds, undefined, { signal: ending }).catch(() => undefined);
}
