/** How soon service is back: what waited through a fault is woken, and what is asked anew is answered. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import postgres from 'postgres';
import { connect, held, type Stint } from '../contract/stint.ts';
import { QueueFollower } from './queue-follower.ts';
import { StandingCalls, type Woken } from './standing-calls.ts';
import { untilOk } from './until-ok.ts';

const QUEUE = 'anew';
const LOOK_MS = 10;

/** Calls that were sent after the fault, one after the other: when each was answered. */
interface Anew {
  readonly enqueue: number;
  readonly claim: number;
  readonly subscribe: number;
  readonly ack: number;
  readonly await: number;
  readonly event: number;
}

/** Calls that wait on every replica while the database is away, and calls that find out when it is back. */
export class RecoveryWatch {
  readonly #replicas: readonly { readonly stint: Stint; readonly standing: StandingCalls }[];

  private constructor(replicas: readonly { readonly stint: Stint; readonly standing: StandingCalls }[]) {
    this.#replicas = replicas;
  }

  /** Before the fault. Of the replicas, each waits for what is done on the next. */
  static async open(addresses: readonly string[]): Promise<RecoveryWatch> {
    const stints = addresses.map((address) => connect(address));
    const opening = stints.map(async (stint, index) => ({
      stint,
      standing: await StandingCalls.open(stint, stints[(index + 1) % stints.length] ?? stint),
    }));
    return new RecoveryWatch(await Promise.all(opening));
  }

  /** From before the database is back until every replica has done everything; tells the figures on standard output. */
  async untilBack(databaseUrl: string, fault: string): Promise<void> {
    await untilDatabaseAnswers(databaseUrl);
    const backAt = performance.now();
    const elapsed = () => Math.round(performance.now() - backAt);
    const recoveries = await Promise.all(
      this.#replicas.map(async ({ stint, standing }): Promise<Anew & Woken> => {
        const [anew, woken] = await Promise.all([askAnew(stint, elapsed), standing.settle(elapsed)]);
        return { ...anew, ...woken };
      }),
    );
    for (const { stint } of this.#replicas) stint.close();
    console.log(`milliseconds from the database's first answer, on each replica, after ${fault}:`);
    console.table(recoveries);
  }
}

/** The way of one job on one replica, each call until it is answered; `elapsed` tells the time. */
export async function askAnew(stint: Stint, elapsed: () => number): Promise<Anew> {
  const namespace = `anew-${randomUUID()}`;
  const { job } = await untilOk(() => stint.enqueue({ namespace, job: { queue: QUEUE, type: 'x', idempotencyKey: 'once' } }));
  const jobId = job?.jobId ?? '';
  const enqueue = elapsed();
  const request = { namespace, workerId: 'w', queues: [QUEUE], requestId: 'once' };
  const { leaseToken } = held((await untilOk(() => stint.claim(request))).jobs[0]);
  const claim = elapsed();
  const follower = await QueueFollower.open(stint, namespace, QUEUE);
  const subscribe = elapsed();
  await untilOk(() => stint.ack({ leaseToken }));
  const ack = elapsed();
  await untilOk(() => stint.awaitTerminal({ namespace, jobId }).rest());
  const await_ = elapsed();
  await follower.untilSucceeded(jobId);
  return { enqueue, claim, subscribe, ack, await: await_, event: elapsed() };
}

/** As a plain client would find out: a connection, a login, an answer. */
async function untilDatabaseAnswers(url: string): Promise<void> {
  for (;;) {
    const client = postgres(url, { max: 1, connect_timeout: 2, fetch_types: false, onnotice: () => undefined });
    try {
      await client`select 1`;
      return;
    } catch {
      await delay(LOOK_MS);
    } finally {
      await client.end({ timeout: 1 });
    }
  }
}
