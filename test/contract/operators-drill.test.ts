/** An operator at work on a queue under load: what was promised when an action was answered holds, and no job is lost on the way. */
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Event } from '../../gen/stint/v1/event.ts';
import { JobState } from '../../gen/stint/v1/job.ts';
import { OperatorAction } from '../../gen/stint/v1/queue_service.ts';
import { type Scene, useService } from './scene.ts';
import { collect, held, micros, refusal, seconds, uuidV7 } from './stint.ts';

const scene = useService();

const PRODUCERS = 4;
const WORKERS = 6;
const CLOSED = ['QUEUE_SATURATED', 'QUEUE_DRAINING'];

/** Producers and workers who go on, whatever the operator does. */
class Load {
  readonly #one: Scene;
  readonly enqueued: string[] = [];
  readonly refusals = new Set<string>();
  readonly #ended = { producing: false, working: false };
  held = 0;
  mostHeld = 0;
  readonly #producers: Promise<unknown>;
  readonly #workers: Promise<unknown>;

  constructor(one: Scene) {
    this.#one = one;
    this.#producers = Promise.all(Array.from({ length: PRODUCERS }, () => this.#produce()));
    this.#workers = Promise.all(Array.from({ length: WORKERS }, (_, n) => this.#work(`worker-${n}`)));
  }

  /** Until so many more have been taken. */
  async untilEnqueued(more: number): Promise<void> {
    const enough = this.enqueued.length + more;
    while (this.enqueued.length < enough) await delay(5);
  }

  async endProducing(): Promise<void> {
    this.#ended.producing = true;
    await this.#producers;
  }

  async endWorking(): Promise<void> {
    this.#ended.working = true;
    await this.#workers;
  }

  /** Each job until it is taken, under its own id. */
  async #produce(): Promise<void> {
    const { stint, namespace, queue } = this.#one;
    while (!this.#ended.producing) {
      const jobId = uuidV7();
      for (;;) {
        const call = stint.enqueue({ namespace, job: { queue, jobId, retry: { initialBackoff: seconds(0), maxAttempts: 100 } } });
        const isTaken = await call.then(
          () => true,
          () => false,
        );
        if (isTaken) break;
        const reason = (await refusal(call)).info?.reason ?? '';
        expect(CLOSED).toContain(reason);
        this.refusals.add(reason);
        if (this.#ended.producing) return;
        await delay(20);
      }
      this.enqueued.push(jobId);
      await delay(5);
    }
  }

  /** Most of what it is given it does; the rest it gives back in one way or another. */
  async #work(workerId: string): Promise<void> {
    const { stint, claim } = this.#one;
    for (let turn = 0; !this.#ended.working; turn += 1) {
      const { jobs } = await claim({ workerId, maxJobs: 2, wait: seconds(1) });
      this.held += jobs.length;
      this.mostHeld = Math.max(this.mostHeld, this.held);
      await delay(10);
      for (const { leaseToken } of jobs.map(held)) {
        this.held -= 1;
        if (turn % 7 === 3) await stint.release({ leaseToken });
        else if (turn % 7 === 5) await stint.fail({ leaseToken });
        else await stint.ack({ leaseToken });
      }
    }
  }
}

/** A time between an answer and the next request, when something must not have happened. */
interface Stretch {
  readonly type: 'claimed' | 'enqueued';
  readonly from: number;
  readonly until: number;
}

class Operator {
  readonly #one: Scene;
  readonly stretches: Stretch[] = [];

  constructor(one: Scene) {
    this.#one = one;
  }

  readonly act = async (action: OperatorAction): Promise<void> => {
    const { stint, namespace, queue } = this.#one;
    expect((await stint.applyAction({ namespace, queue, action, reason: 'drill' })).changed).toBe(true);
  };

  readonly put = async (bounds: object): Promise<void> => {
    const { stint, namespace, queue } = this.#one;
    await stint.putQueue({ namespace, queue: { name: queue, ...bounds }, updateMask: ['max_in_flight', 'max_queued', 'rate_limit'] });
  };

  readonly inFlight = async (): Promise<number> => {
    const { stint, namespace, queue } = this.#one;
    const { leased, running } = (await stint.getQueueStats({ namespace, queue })).stats?.jobs ?? expect.unreachable();
    return Number(leased + running);
  };

  readonly drained = async (): Promise<void> => {
    const { stint, namespace, queue } = this.#one;
    expect((await stint.waitDrained({ namespace, queue }).rest()).at(-1)).toMatchObject({ drained: true });
  };

  /** Nothing of these types happens while `work` goes on. */
  readonly without = async (types: readonly Stretch['type'][], work: () => Promise<unknown>): Promise<void> => {
    const from = await this.#now();
    await work();
    const until = await this.#now();
    this.stretches.push(...types.map((type) => ({ type, from, until })));
  };

  async #now(): Promise<number> {
    return micros((await this.#one.stint.getServerInfo({})).databaseTime);
  }
}

async function drill(load: Load, { act, put, drained, without }: Operator): Promise<void> {
  await load.untilEnqueued(40);
  await act(OperatorAction.PAUSE);
  await without(['claimed'], () => load.untilEnqueued(20));
  await put({ maxInFlight: 3 });
  await act(OperatorAction.RESUME);
  await load.untilEnqueued(40);
  await put({ maxInFlight: 3, rateLimit: { permits: 50, period: seconds(1), burst: 5 } });
  await load.untilEnqueued(40);
  await act(OperatorAction.DRAIN_IN_FLIGHT);
  await without(['claimed', 'enqueued'], async () => {
    await drained();
    await delay(100);
  });
  await put({ maxQueued: 10 });
  await act(OperatorAction.RESUME);
  await load.untilEnqueued(60);
  await act(OperatorAction.DRAIN_BACKLOG);
  await without(['enqueued'], drained);
  await put({});
  await act(OperatorAction.RESUME);
  await load.untilEnqueued(40);
}

/** Those that must not have happened when they did. */
function misplaced(events: readonly Event[], stretches: readonly Stretch[]): readonly Event[] {
  return events.filter((event) => {
    const at = micros(event.occurredAt);
    return stretches.some(({ type, from, until }) => event.type === type && at > from && at < until);
  });
}

describe('an operator who pauses, bounds, drains and resumes a queue under load', () => {
  it('loses no job, and finds in force what was answered', async () => {
    const one = scene();
    const load = new Load(one);
    const operator = new Operator(one);
    await drill(load, operator);
    await load.endProducing();
    const everything = { $case: 'everything', everything: {} } as const;
    const follower = one.stint.subscribe({
      namespace: one.namespace,
      scope: everything,
      start: { $case: 'fromBeginning', fromBeginning: {} },
    });
    const { events } = await collect(follower, (seen) => seen.filter(({ type }) => type === 'succeeded').length >= load.enqueued.length);
    await load.endWorking();
    expect(new Set(events.filter(({ type }) => type === 'succeeded').map(({ jobId }) => jobId))).toEqual(new Set(load.enqueued));
    const states = await Promise.all(load.enqueued.map(async (jobId) => (await one.job(jobId)).state));
    expect(new Set(states)).toEqual(new Set([JobState.SUCCEEDED]));
    expect(operator.stretches).toHaveLength(4);
    expect(misplaced(events, operator.stretches)).toEqual([]);
    expect([...load.refusals].toSorted()).toEqual(CLOSED.toSorted());
    await one.isSound();
  }, 60_000);

  it('never sees more in flight than was allowed, once fewer are', async () => {
    const one = scene();
    const load = new Load(one);
    const operator = new Operator(one);
    for (const maxInFlight of [5, 2, 4, 1]) {
      await load.untilEnqueued(15);
      await operator.put({ maxInFlight });
      // By the gate: what was claimed before may still be on its way to its worker.
      while ((await operator.inFlight()) > maxInFlight) await delay(5);
      load.mostHeld = load.held;
      await load.untilEnqueued(15);
      while (load.mostHeld === 0) await delay(5);
      expect(load.mostHeld).toBeLessThanOrEqual(maxInFlight);
    }
    await operator.put({});
    await load.endProducing();
    await load.endWorking();
    await one.isSound();
  }, 60_000);
});
