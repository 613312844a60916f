/** Claims that wait, on a real database. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Queue } from '../../../src/domain/queue.ts';
import type { RunningEngine } from '../../../src/engine/create-engine.ts';
import type { Claim, Claimed } from '../../../src/engine/engine.ts';
import type { Repository } from '../../../src/engine/ports/repository.ts';
import { EventHub } from '../../../src/feed/event-hub.ts';
import { engineOn, Gate } from '../engine-on.ts';
import { idsOf, jobSpec, Stage, tokenOf } from '../stage.ts';

const EMPTY: Claimed = { jobs: [], decision: 'EMPTY' };

let stage: Stage;
let queue: Queue;
let engine: RunningEngine;
/** Looks that have found nothing: each a claim statement that is over. */
let emptyLooks: number;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
  emptyLooks = 0;
  engine = engineOn(counting(stage.repository));
  neverRecheck();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await engine.drain();
});
afterAll(() => stage.close());

/** The look that comes after five seconds comes in an hour: nobody is saved by it. */
function neverRecheck(): void {
  const { setTimeout: real } = globalThis;
  const later = (run: () => void, afterMs?: number) => real(run, afterMs === 5_000 ? 3_600_000 : afterMs);
  vi.spyOn(globalThis, 'setTimeout').mockImplementation(Object.assign(later, { __promisify__: real.__promisify__ }));
}

function counting(repository: Repository): Repository {
  return {
    ...repository,
    claim: async (queues, slots) => {
      const given = await repository.claim(queues, slots);
      if (given.jobs.every((jobs) => jobs.length === 0)) emptyLooks += 1;
      return given;
    },
  };
}

function claim(told: Partial<Claim> = {}, signal: AbortSignal = new AbortController().signal): Promise<Claimed> {
  const whole = {
    workerId: 'w',
    queues: ['q'],
    maxJobs: 1,
    waitMs: 60_000,
    leaseDurationMs: null,
    startOnClaim: true,
    requestId: null,
    ...told,
  };
  return engine.workers.claim({ namespace: queue.namespace, ...whole }, signal);
}

/** A claim that has looked and waits. */
async function parked(told: Partial<Claim> = {}, signal?: AbortSignal): Promise<{ claimed: Promise<Claimed> }> {
  const looks = emptyLooks + 1;
  const claimed = claim(told, signal);
  while (emptyLooks < looks) await new Promise((resolve) => setImmediate(resolve));
  return { claimed };
}

const enqueue = (told: Parameters<typeof jobSpec>[0] = {}) => engine.jobs.enqueue({ namespace: queue.namespace, spec: jobSpec(told) });

async function enqueuedId(told: Parameters<typeof jobSpec>[0] = {}) {
  const result = await enqueue(told);
  if (!result.ok) throw new Error('not enqueued');
  return result.value.job.jobId;
}

describe('parked claims', () => {
  it('hold no connection: many more than the pool has, and other calls are served', async () => {
    const names = Array.from({ length: 40 }, (_, index) => `q${index}`);
    await stage.repository.createQueues(names.map((name) => ({ namespace: queue.namespace, name })));
    const claims = [];
    for (const name of names) claims.push((await parked({ queues: [name] })).claimed);
    const busy = await stage.sql`select state, query from pg_stat_activity
      where datname = current_database() and application_name = 'stint hot' and state <> 'idle'`;
    expect(busy).toEqual([]);
    const jobId = await enqueuedId();
    expect(await engine.jobs.getJob({ namespace: queue.namespace, jobId, withPayload: true })).toMatchObject({ ok: true });
    expect(idsOf((await claim({ waitMs: 0 })).jobs)).toEqual([jobId]);
    await Promise.all(names.map((name) => enqueue({ queue: name })));
    expect((await Promise.all(claims)).map(({ jobs }) => jobs[0]?.job.queue)).toEqual(names);
  });

  it('are woken by an enqueue', async () => {
    const { claimed } = await parked();
    const jobId = await enqueuedId();
    expect(idsOf((await claimed).jobs)).toEqual([jobId]);
  });

  it('are woken by an atomic batch', async () => {
    const { claimed } = await parked({ maxJobs: 5 });
    const items = [jobSpec(), jobSpec()].map((value) => ({ ok: true as const, value }));
    await engine.jobs.enqueueBatch({ namespace: queue.namespace, items, atomic: true });
    expect((await claimed).jobs).toHaveLength(2);
  });

  it('are woken by the enqueue that makes their queue', async () => {
    const claimed = claim({ queues: ['new'] });
    await new Promise((resolve) => setImmediate(resolve));
    const jobId = await enqueuedId({ queue: 'new' });
    expect(idsOf((await claimed).jobs)).toEqual([jobId]);
  });

  it('are woken by a release', async () => {
    const jobId = await enqueuedId();
    const [held] = (await claim({ waitMs: 0 })).jobs;
    if (held === undefined) throw new Error('nothing was claimed');
    const { claimed } = await parked({ workerId: 'v' });
    await engine.workers.release({ token: tokenOf(held), delayMs: 0 });
    expect(idsOf((await claimed).jobs)).toEqual([jobId]);
  });

  it('are woken by promotion', async () => {
    const jobId = await enqueuedId({ runAt: stage.now + 5_000_000 });
    const { claimed } = await parked();
    stage.clock.advance(5_000);
    await engine.queues.runUpkeep();
    expect(idsOf((await claimed).jobs)).toEqual([jobId]);
  });

  it('are woken by what another replica commits', async () => {
    const [here, there] = [await stage.replica(), await stage.replica()];
    const hubs: EventHub[] = [];
    const engines = [here, there].map((store) => {
      const hub: EventHub = new EventHub({
        journal: store.journal,
        doorbell: store.doorbell,
        onEvents: (events) => own.onEvents(events),
        onBegin: () => own.onBegin(),
        onQueues: () => own.onQueues(),
        onNewEpoch: () => own.onNewEpoch(),
        onFailure: (error) => {
          throw error;
        },
      });
      hubs.push(hub);
      const own: RunningEngine = engineOn(counting(store.repository), hub);
      return own;
    });
    await Promise.all(hubs.map((hub) => hub.start()));
    const [waiting, enqueuing] = engines;
    if (waiting === undefined || enqueuing === undefined) throw new Error('no engines');
    const command = {
      namespace: queue.namespace,
      workerId: 'w',
      queues: ['q'],
      maxJobs: 1,
      waitMs: 60_000,
      leaseDurationMs: null,
      startOnClaim: true,
      requestId: null,
    };
    const looks = emptyLooks + 1;
    const claimed = waiting.workers.claim(command, new AbortController().signal);
    while (emptyLooks < looks) await new Promise((resolve) => setImmediate(resolve));
    const result = await enqueuing.jobs.enqueue({ namespace: queue.namespace, spec: jobSpec() });
    expect(idsOf((await claimed).jobs)).toEqual([result.ok ? result.value.job.jobId : null]);
    await Promise.all(engines.map((one) => one.drain()));
    await Promise.all(hubs.map((hub) => hub.stop()));
  });

  it('are all answered by a drain, and the next ones at once', async () => {
    const claims = [await parked(), await parked({ queues: ['q', 'p'] })];
    await engine.drain();
    expect(await Promise.all(claims.map(({ claimed }) => claimed))).toEqual([EMPTY, EMPTY]);
    await stage.enqueue(queue, {});
    expect(await claim()).toEqual(EMPTY);
    expect(await stage.repository.peekQueue(queue, 10)).toHaveLength(1);
  });

  it('with a wait of zero do not park', async () => {
    expect(await claim({ waitMs: 0 })).toEqual(EMPTY);
  });
});

describe('one claim of several queues', () => {
  it('gets the best of all of them, whichever woke it', async () => {
    const low = await enqueuedId({ queue: 'p', priority: -1 });
    const high = await enqueuedId({ queue: 'q', priority: 3 });
    const middle = await enqueuedId({ queue: 'p' });
    expect(idsOf((await claim({ queues: ['p', 'q'], maxJobs: 2, waitMs: 0 })).jobs)).toEqual([high, middle]);
    expect(idsOf((await claim({ queues: ['q', 'p'], maxJobs: 2, waitMs: 0 })).jobs)).toEqual([low]);
    const { claimed } = await parked({ queues: ['q', 'p'] });
    const late = await enqueuedId({ queue: 'p' });
    expect(idsOf((await claimed).jobs)).toEqual([late]);
  });
});

describe('many parked claims', () => {
  it('are served by one statement, in the order in which they came', async () => {
    const claims: Promise<Claimed>[] = [];
    for (let worker = 0; worker < 10; worker += 1) claims.push((await parked({ workerId: `w${worker}` })).claimed);
    const items = Array.from({ length: 10 }, () => ({ ok: true as const, value: jobSpec() }));
    const batch = await engine.jobs.enqueueBatch({ namespace: queue.namespace, items, atomic: false });
    const ids = batch.ok ? batch.value.map((one) => (one.ok ? one.value.job.jobId : null)) : [];
    expect((await Promise.all(claims)).flatMap(({ jobs }) => idsOf(jobs))).toEqual(ids);
    const [row] = await stage.sql`select count(distinct claimed_at)::int as statements, count(distinct token)::int as tokens
      from stint.lease where queue_id = ${queue.id}`;
    expect(row).toEqual({ statements: 1, tokens: 10 });
  });
});

describe('a claim whose caller goes', () => {
  it('gives back what it was given: unspent, at its old position, told as released', async () => {
    const [looked, go] = [new Gate(), new Gate()];
    const repository = stage.repository;
    engine = engineOn({
      ...repository,
      claim: async (queues, slots) => {
        const given = await repository.claim(queues, slots);
        looked.open();
        await go.opened;
        return given;
      },
    });
    const [first, second] = await stage.enqueue(queue, {}, {});
    const gone = new AbortController();
    const claimed = claim({}, gone.signal);
    await looked.opened;
    gone.abort();
    go.open();
    expect(await claimed).toEqual(EMPTY);
    if (first === undefined) throw new Error('nothing was enqueued');
    expect(await stage.job(first)).toMatchObject({ state: 'READY', attempt: 0 });
    expect(await stage.eventTypes(first)).toEqual(['enqueued', 'claimed', 'started', 'released']);
    expect(idsOf(await stage.claim(queue, { maxJobs: 2 }))).toEqual([first, second]);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('while it is parked gets nothing, and the next one gets everything', async () => {
    const gone = new AbortController();
    const { claimed } = await parked({ workerId: 'gone' }, gone.signal);
    gone.abort();
    expect(await claimed).toEqual(EMPTY);
    const { claimed: next } = await parked({ workerId: 'next' });
    const jobId = await enqueuedId();
    expect(idsOf((await next).jobs)).toEqual([jobId]);
    expect((await stage.job(jobId)).attempt).toBe(1);
  });
});

describe('a repeated claim', () => {
  it('gets the same leases again, while one of them is live, whatever else it asks for', async () => {
    await Promise.all([enqueue(), enqueue(), enqueue()]);
    const first = await claim({ requestId: 'r', maxJobs: 2, waitMs: 0 });
    expect(await claim({ requestId: 'r', maxJobs: 3, waitMs: 0, leaseDurationMs: 1_000 })).toEqual({ ...first, repeated: true });
    const [one, two] = first.jobs;
    if (one === undefined || two === undefined) throw new Error('nothing was claimed');
    await engine.workers.ack({ token: tokenOf(one), result: new Uint8Array(), contentType: '' });
    expect((await claim({ requestId: 'r', waitMs: 0 })).jobs).toEqual([two]);
    await engine.workers.ack({ token: tokenOf(two), result: new Uint8Array(), contentType: '' });
    expect((await claim({ requestId: 'r', waitMs: 0 })).jobs).toHaveLength(1);
  });

  it('takes the place of the parked one: one job goes to one answer', async () => {
    const { claimed: former } = await parked({ requestId: 'r' });
    const { claimed: again } = await parked({ requestId: 'r' });
    expect(await former).toEqual(EMPTY);
    await Promise.all([enqueue(), enqueue()]);
    expect((await again).jobs).toHaveLength(1);
    expect(await stage.repository.peekQueue(queue, 10)).toHaveLength(1);
  });
});
