/** Ten thousand awaits on one replica: woken together, with statements that each read for many, whatever hint is lost. */
import { describe, expect, it } from 'vitest';
import type { JobId } from '../../src/domain/job.ts';
import type { LeaseToken } from '../../src/domain/lease.ts';
import type { RunningEngine } from '../../src/engine/create-engine.ts';
import type { Store } from '../../src/repository/store.ts';
import type { Replica } from './replica.ts';
import { useScene } from './scene.ts';
import { ack, claim, enqueueTogether } from './work.ts';

const scene = useScene();
const AWAITS = 10_000;
/** More than any other reads may wait. */
const MORE_AWAITS = 25_000;
const BATCH = 1_000;
/** Reads that each tell of up to 128 jobs, and some that begin with fewer. */
const STATEMENTS = 200;
const LIMIT_MS = 240_000;
/** Awaits that nobody woke look again after some minutes. */
const PATIENCE_MS = 25_000;

interface Held {
  readonly jobId: JobId;
  readonly token: LeaseToken;
}

async function hold(engine: RunningEngine, namespace: string, count: number): Promise<readonly Held[]> {
  const held: Held[] = [];
  while (held.length < count) {
    const size = Math.min(BATCH, count - held.length);
    await enqueueTogether(engine, namespace, size);
    held.push(...(await claim(engine, namespace, { maxJobs: size, leaseDurationMs: 3_600_000 })));
  }
  return held;
}

/** Counts the statements that read jobs or their histories. */
function counting() {
  const count = { statements: 0 };
  const through = (store: Store): Store => ({
    ...store,
    repository: {
      ...store.repository,
      getJobs: (ids) => {
        count.statements += 1;
        return store.repository.getJobs(ids);
      },
      histories: (...asked) => {
        count.statements += 1;
        return store.repository.histories(...asked);
      },
      history: (...asked) => {
        count.statements += 1;
        return store.repository.history(...asked);
      },
    },
  });
  return { count, through };
}

/** All have been told that they wait. Gives what is told at their end, when the last is. */
async function awaitEach({ engine }: Replica, namespace: string, jobIds: readonly JobId[]) {
  const callers = jobIds.map(() => new AbortController());
  const waits = jobIds.map((jobId, index) =>
    engine.jobs.awaitTerminal({ namespace, jobId, includeProgress: false, afterLife: 0 }, callers[index]?.signal ?? expect.unreachable()),
  );
  for (const { value } of await Promise.all(waits.map((wait) => wait.next()))) expect(value).toMatchObject({ terminal: false });
  const ends = Promise.all(waits.map((wait) => wait.next()));
  return async () => {
    const giveUp = setTimeout(() => callers.forEach((caller) => caller.abort()), PATIENCE_MS);
    const told = (await ends).map((step) => (step.done !== true && step.value.terminal ? step.value.job.jobId : null));
    clearTimeout(giveUp);
    await Promise.all(waits.map((wait) => wait.return(undefined)));
    return told;
  };
}

async function settleAll({ engine }: Replica, held: readonly Held[]): Promise<void> {
  const acks = held.map(({ token }) => ({ kind: 'ack' as const, token, result: new Uint8Array(), contentType: '' }));
  for (let from = 0; from < acks.length; from += BATCH) await engine.workers.settle(acks.slice(from, from + BATCH));
}

describe('ten thousand awaits', { timeout: LIMIT_MS }, () => {
  it('of as many jobs are woken by some tens of statements, though no ring is heard', async () => {
    const { count, through } = counting();
    const here = await scene.replica({ deaf: true, through });
    const there = await scene.replica();
    const namespace = scene.namespace();
    const held = await hold(there.engine, namespace, AWAITS);
    const jobIds = held.map(({ jobId }) => jobId);
    const ends = await awaitEach(here, namespace, jobIds);
    count.statements = 0;
    await settleAll(there, held);
    expect(await ends()).toEqual(jobIds);
    expect(count.statements).toBeLessThan(STATEMENTS);
    expect(here.hub.watchedJobs).toBe(0);
  });

  it('of one job are woken though the listening connections end as it does', async () => {
    const { count, through } = counting();
    const here = await scene.replica({ through });
    const there = await scene.replica();
    const namespace = scene.namespace();
    const [held] = await hold(there.engine, namespace, 1);
    if (held === undefined) throw new Error('nothing was claimed');
    const jobIds = Array.from({ length: AWAITS }, () => held.jobId);
    const ends = await awaitEach(here, namespace, jobIds);
    count.statements = 0;
    const { sql } = scene.database;
    const ended = sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'stint listen'`;
    const [killed] = await Promise.all([ended, ack(there.engine, held.token)]);
    expect(killed.length).toBeGreaterThan(0);
    expect(await ends()).toEqual(jobIds);
    expect(count.statements).toBeLessThan(STATEMENTS);
  });

  it('and fifteen thousand more wake at once, none is turned away, and meanwhile a job is read', async () => {
    let opened: Promise<void> = Promise.resolve();
    const awaited: JobId[] = [];
    const through = (store: Store): Store => ({
      ...store,
      repository: {
        ...store.repository,
        getJobs: async (ids) => {
          if (ids.some((id) => awaited.includes(id))) await opened;
          return store.repository.getJobs(ids);
        },
      },
    });
    const replica = await scene.replica({ through });
    const { engine, hub } = replica;
    const namespace = scene.namespace();
    const [held] = await hold(engine, namespace, 1);
    const [other] = await enqueueTogether(engine, namespace, 1);
    if (held === undefined || other === undefined) throw new Error('nothing to wait for');
    awaited.push(held.jobId);
    const jobIds = Array.from({ length: MORE_AWAITS }, () => held.jobId);
    const ends = await awaitEach(replica, namespace, jobIds);
    let open: () => void = () => undefined;
    opened = new Promise((resolve) => (open = resolve));
    await ack(engine, held.token);
    await hub.refresh();
    await new Promise(setImmediate);
    expect(await engine.jobs.getJob({ namespace, jobId: other, withPayload: false })).toMatchObject({ ok: true });
    open();
    expect(await ends()).toEqual(jobIds);
  });

  it('of an event are woken by some tens of statements', async () => {
    const { count, through } = counting();
    const here = await scene.replica({ deaf: true, through });
    const there = await scene.replica();
    const namespace = scene.namespace();
    const jobIds: JobId[] = [];
    while (jobIds.length < AWAITS) jobIds.push(...(await enqueueTogether(there.engine, namespace, BATCH)));
    const caller = new AbortController();
    const waits = jobIds.map((jobId) =>
      here.engine.events.awaitEvent({ namespace, jobId, type: 'claimed', afterSequence: 0 }, caller.signal),
    );
    for (const { value } of await Promise.all(waits.map((wait) => wait.next()))) expect(value).toEqual({ event: null, latestSequence: 1 });
    expect(count.statements).toBeLessThan(STATEMENTS);
    count.statements = 0;
    const told = Promise.all(waits.map((wait) => wait.next()));
    const giveUp = setTimeout(() => caller.abort(), PATIENCE_MS);
    for (let held = 0; held < AWAITS; held += BATCH) await claim(there.engine, namespace, { maxJobs: BATCH, leaseDurationMs: 3_600_000 });
    expect((await told).map((step) => (step.done === true ? null : step.value.event?.jobId))).toEqual(jobIds);
    clearTimeout(giveUp);
    expect(count.statements).toBeLessThan(STATEMENTS);
    await Promise.all(waits.map((wait) => wait.return(undefined)));
    expect(here.hub.watchedJobs).toBe(0);
  });

  it('that are told of claims and starts only are not woken by them', async () => {
    const { count, through } = counting();
    const { engine, hub } = await scene.replica({ through });
    const namespace = scene.namespace();
    const [jobId] = await enqueueTogether(engine, namespace, 1);
    if (jobId === undefined) throw new Error('nothing was enqueued');
    const wait = engine.jobs.awaitTerminal({ namespace, jobId, includeProgress: false, afterLife: 0 }, new AbortController().signal);
    await wait.next();
    const end = wait.next();
    const [held] = await claim(engine, namespace);
    await hub.refresh();
    expect(count.statements).toBe(1);
    await ack(engine, held?.token ?? expect.unreachable());
    expect((await end).value).toMatchObject({ terminal: true });
    expect(count.statements).toBe(2);
  });
});
