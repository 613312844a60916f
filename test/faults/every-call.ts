import { expect } from 'vitest';
import { SubscribeRequest } from '../../gen/stint/v1/event_service.ts';
import { StartMode } from '../../gen/stint/v1/worker_service.ts';
import { Trigger } from '../contract/keda-trigger.ts';
import { Scene } from '../contract/scene.ts';
import { Follower, reasonOf, seconds, type Stint, uuidV7 } from '../contract/stint.ts';

/** Far past what the service gives itself: who is answered by this deadline instead was left hanging. */
const DEADLINE_MS = 90_000;
/** Outlasts the fault. */
const LEASE = seconds(600);

/** One call of each kind, prepared while all is well; each can be sent again and again. */
export class EveryCall {
  readonly #calls: ReadonlyMap<string, () => Promise<unknown>>;

  private constructor(calls: Record<string, () => Promise<unknown>>) {
    this.#calls = new Map(Object.entries(calls));
  }

  static async prepare(stint: Stint): Promise<EveryCall> {
    const scene = new Scene(stint);
    return new EveryCall({ ...producing(scene), ...(await working(scene)), ...operating(scene), ...(await following(scene)) });
  }

  /** Each is answered, and by the service: that its database is away. */
  async expectUnavailable(): Promise<void> {
    await this.#expect('UNAVAILABLE/STORE_UNAVAILABLE', reasonOf);
  }

  /** Each is answered, and by the service: well, where it needs nothing that is missing, or that it cannot be. */
  async expectAnswered(): Promise<void> {
    await this.#expect(expect.stringMatching(/^(OK|UNAVAILABLE\/STORE_UNAVAILABLE|RESOURCE_EXHAUSTED\/OVERLOADED)$/), reasonOf);
  }

  async expectOk(): Promise<void> {
    await this.#expect('OK', reasonOf);
  }

  async #expect(expected: unknown, tell: (call: Promise<unknown>) => string | Promise<string>): Promise<void> {
    const end = async (send: () => Promise<unknown>) => {
      const sent = send();
      return await sent.then(
        () => 'OK',
        () => tell(sent),
      );
    };
    expect(await this.#each(end)).toEqual(await this.#each(() => expected));
  }

  async #each<T>(look: (send: () => Promise<unknown>) => T | Promise<T>): Promise<Record<string, T>> {
    const entries = [...this.#calls].map(async ([name, send]) => [name, await look(send)] as const);
    return Object.fromEntries(await Promise.all(entries));
  }
}

function producing({ stint, namespace, queue }: Scene) {
  const job = { queue, type: 'x' };
  const key = { ...job, idempotencyKey: 'k' };
  const batch = (atomic: boolean) => ({ namespace, jobs: [{ ...job, jobId: uuidV7() }], atomic });
  const [atomicBatch, looseBatch] = [batch(true), batch(false)];
  return {
    enqueue: () => stint.enqueue({ namespace, job: key }, DEADLINE_MS),
    'enqueue an atomic batch': () => stint.enqueueBatch(atomicBatch, DEADLINE_MS),
    'enqueue a batch': () => stint.enqueueBatch(looseBatch, DEADLINE_MS),
    'list jobs': () => stint.listJobs({ namespace }, DEADLINE_MS),
    'get server info': () => stint.getServerInfo({}, DEADLINE_MS),
  };
}

async function working(scene: Scene) {
  const { stint, namespace } = scene;
  const lease = async (request = {}) => (await scene.enqueueAndClaim({}, { leaseDuration: LEASE, ...request })).leaseToken;
  const tokens = {
    start: await lease({ start: StartMode.EXPLICIT }),
    heartbeat: await lease(),
    ack: await lease(),
    fail: await lease(),
    release: await lease(),
    settle: await lease(),
  };
  const claim = { namespace, queues: ['another'], workerId: 'w' };
  return {
    claim: () => stint.claim(claim, DEADLINE_MS),
    'claim by request id': () => stint.claim({ ...claim, requestId: 'r' }, DEADLINE_MS),
    start: () => stint.start({ leaseToken: tokens.start }, DEADLINE_MS),
    heartbeat: () => stint.heartbeat({ leases: [{ leaseToken: tokens.heartbeat }] }, DEADLINE_MS),
    ack: () => stint.ack({ leaseToken: tokens.ack }, DEADLINE_MS),
    fail: () => stint.fail({ leaseToken: tokens.fail, retryAfter: LEASE }, DEADLINE_MS),
    release: () => stint.release({ leaseToken: tokens.release, delay: LEASE }, DEADLINE_MS),
    settle: () => stint.settle({ settlements: [{ leaseToken: tokens.settle, action: { $case: 'ack', ack: {} } }] }, DEADLINE_MS),
  };
}

function operating({ stint, namespace }: Scene) {
  return {
    'check invariants': () => stint.checkInvariants({ namespace }, DEADLINE_MS),
    'run upkeep': () => stint.runUpkeep({}, DEADLINE_MS),
  };
}

async function following(scene: Scene) {
  const { stint, namespace, queue } = scene;
  const { jobId } = await scene.enqueue({ runAt: seconds(Date.now() / 1_000 + 600) });
  const firstOf = async (request: Parameters<typeof SubscribeRequest.fromPartial>[0]) => {
    const deadline = Date.now() + DEADLINE_MS;
    const follower = new Follower(stint.raw.events.subscribe(SubscribeRequest.fromPartial({ namespace, ...request }), { deadline }));
    await follower.next();
    follower.cancel();
  };
  const trigger = new Trigger(stint, { namespace, queue });
  const beginning = { $case: 'fromBeginning' as const, fromBeginning: {} };
  return {
    'get a job': () => stint.getJob({ namespace, jobId }, DEADLINE_MS),
    'list events': () => stint.listEvents({ namespace, jobId }, DEADLINE_MS),
    'append an event': () => stint.appendEvent({ namespace, jobId, type: 'fact', replayKey: 'k' }, DEADLINE_MS),
    'await an event': async () => {
      const follower = stint.awaitEvent({ namespace, jobId, type: 'never' }, DEADLINE_MS);
      await follower.next();
      follower.cancel();
    },
    'scale by a queue': () => trigger.metrics('stint-backlog', DEADLINE_MS),
    'follow whether a queue is active': async () => {
      const follower = trigger.stream(DEADLINE_MS);
      await follower.next();
      follower.cancel();
    },
    'peek into a queue': () => stint.peekQueue({ namespace, queue }, DEADLINE_MS),
    'await a job': async () => {
      const follower = stint.awaitTerminal({ namespace, jobId }, DEADLINE_MS);
      await follower.next();
      follower.cancel();
    },
    'subscribe to a queue': () => firstOf({ scope: { $case: 'queue', queue } }),
    'subscribe to a job': () => firstOf({ scope: { $case: 'jobId', jobId }, start: beginning }),
  };
}
