import { randomUUID } from 'node:crypto';
import { held, seconds, type Stint } from '../contract/stint.ts';
import { WorkStream } from '../contract/work-stream.ts';
import { QueueFollower } from './queue-follower.ts';
import { untilOk } from './until-ok.ts';

const QUEUE = 'standing';
const PARKED_QUEUE = 'parked';
const WORKED_QUEUE = 'worked';
/** Outlasts the fault. */
const LEASE = seconds(600);
/** Past the longest fault: an await must not find out by being sent again. */
const AWAIT_DEADLINE_MS = 600_000;
/** The longest that the service parks a claim. */
const PARKED_S = 60;

/** When each was answered. */
export interface Woken {
  readonly oldAwait: number;
  readonly oldSubscription: number;
  readonly oldClaim: number;
  readonly oldWork: number;
}

/**
 * An await, a subscription, a parked claim and a worker's stream on one replica, for what is done on another; each is sent again only
 * where it broke, and the stream never.
 */
export class StandingCalls {
  readonly #there: Stint;
  readonly #namespace: string;
  readonly #leaseToken: string;
  readonly #awaited: Promise<unknown>;
  readonly #told: Promise<unknown>;
  readonly #claimed: Promise<unknown>;
  readonly #worked: Promise<unknown>;

  private constructor(parts: {
    there: Stint;
    namespace: string;
    leaseToken: string;
    waits: readonly [Promise<unknown>, Promise<unknown>, Promise<unknown>, Promise<unknown>];
  }) {
    this.#there = parts.there;
    this.#namespace = parts.namespace;
    this.#leaseToken = parts.leaseToken;
    [this.#awaited, this.#told, this.#claimed, this.#worked] = parts.waits;
    // Whoever fails is heard when they are settled.
    for (const wait of parts.waits) wait.catch(() => undefined);
  }

  static async open(here: Stint, there: Stint): Promise<StandingCalls> {
    const namespace = `standing-${randomUUID()}`;
    const { job } = await here.enqueue({ namespace, job: { queue: QUEUE, type: 'x' } });
    const jobId = job?.jobId ?? '';
    const { jobs } = await there.claim({ namespace, workerId: 'w', queues: [QUEUE], leaseDuration: LEASE });
    const follower = await QueueFollower.open(here, namespace, QUEUE);
    const awaiting = untilOk(() => here.awaitTerminal({ namespace, jobId }, AWAIT_DEADLINE_MS).rest());
    const { leaseToken } = held(jobs[0]);
    const stream = await openStream(here, namespace);
    return new StandingCalls({
      there,
      namespace,
      leaseToken,
      waits: [awaiting, follower.untilSucceeded(jobId), untilClaimed(here, namespace), untilWorked(stream)],
    });
  }

  /** Does on the other replica what they wait for; `elapsed` tells the time. */
  async settle(elapsed: () => number): Promise<Woken> {
    const at = (wait: Promise<unknown>) => wait.then(elapsed);
    await untilOk(() => this.#there.ack({ leaseToken: this.#leaseToken }));
    const [oldAwait, oldSubscription] = await Promise.all([at(this.#awaited), at(this.#told)]);
    // Only then: a claim that gets something has its replica look at the log, which would wake the others.
    await this.#enqueue(PARKED_QUEUE);
    const oldClaim = await at(this.#claimed);
    await this.#enqueue(WORKED_QUEUE);
    return { oldAwait, oldSubscription, oldClaim, oldWork: await at(this.#worked) };
  }

  async #enqueue(queue: string): Promise<void> {
    await untilOk(() => this.#there.enqueue({ namespace: this.#namespace, job: { queue, type: 'x', idempotencyKey: 'once' } }));
  }
}

/** And acks it: a lease that lapses later would wake whom nothing else has woken. */
async function untilClaimed(stint: Stint, namespace: string): Promise<void> {
  const request = { namespace, workerId: 'w', queues: [PARKED_QUEUE], requestId: 'once', wait: seconds(PARKED_S) };
  const claimOnce = () => stint.claim(request, 1_000 * (PARKED_S + 30));
  let { jobs } = await untilOk(claimOnce);
  while (jobs.length === 0) ({ jobs } = await untilOk(claimOnce));
  const { leaseToken } = held(jobs[0]);
  await untilOk(() => stint.ack({ leaseToken }));
}

async function openStream(stint: Stint, namespace: string): Promise<WorkStream> {
  const stream = new WorkStream(stint, AWAIT_DEADLINE_MS);
  stream.say({ $case: 'open', open: { namespace, workerId: 'w', queues: [WORKED_QUEUE], credits: 1 } });
  await stream.next('opened');
  return stream;
}

/** What the database does not answer refuses the settlement, and not the stream. */
async function untilWorked(stream: WorkStream): Promise<void> {
  const job = await stream.assignedOne();
  let [result] = await stream.ack(job);
  while (result?.result?.$case === 'error') [result] = await stream.ack(job);
  await stream.finish();
}
