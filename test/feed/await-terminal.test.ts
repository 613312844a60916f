import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Job, JobId, JobState } from '../../src/domain/job.ts';
import { ProgressBoard } from '../../src/engine/progress/progress-board.ts';
import { GroupCommit } from '../../src/engine/group-commit.ts';
import { awaitTerminal, type AwaitParts } from '../../src/engine/jobs/await-terminal.ts';
import { query } from './follower.ts';
import type { Replica } from './replica.ts';
import { useScene } from './scene.ts';
import { ack, claim, enqueue, enqueueTogether } from './work.ts';

const scene = useScene();
const never = () => new AbortController().signal;
const SHUTTING_DOWN = { refusal: { kind: 'shutting_down' } };

/** What the engine awaits with, and the signal that drains it. */
function awaiting({ store, hub }: Replica): AwaitParts & { readonly drain: () => void } {
  const draining = new AbortController();
  const reads = new GroupCommit<JobId, Job | null>({
    name: 'read',
    commit: store.repository.getJobs,
    bytesOf: () => 0,
    tenantOf: () => '',
  });
  return {
    log: hub,
    repository: store.repository,
    board: new ProgressBoard(),
    reads,
    draining: draining.signal,
    random: () => 0,
    drain: () => draining.abort(),
  };
}

async function statesOf(states: AsyncIterable<{ readonly job: Job; readonly terminal: boolean }>): Promise<string[]> {
  const told: string[] = [];
  for await (const { job, terminal } of states) told.push(`${job.state}${terminal ? '!' : ''}`);
  return told;
}

describe('an await', () => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => warnings.push(warning);
  beforeEach(() => {
    warnings.length = 0;
    process.on('warning', onWarning);
  });
  afterEach(() => {
    process.off('warning', onWarning);
  });

  it('wakes with five hundred others after one commit, and leaves nothing behind', async () => {
    const replica = await scene.replica();
    const namespace = scene.namespace();
    await enqueueTogether(replica.engine, namespace, 500);
    const taken = await claim(replica.engine, namespace, { maxJobs: 500 });
    const parts = awaiting(replica);
    const waits = taken.map(({ jobId }) => awaitTerminal(parts, { namespace, jobId, includeProgress: false, afterLife: 0 }, never()));
    for (const first of await Promise.all(waits.map((wait) => wait.next()))) expect(first.value).toMatchObject({ terminal: false });
    const ends = waits.map((wait) => statesOf(wait));
    expect(getEventListeners(parts.draining, 'abort')).toHaveLength(500);
    await replica.engine.workers.settle(taken.map(({ token }) => ({ kind: 'ack', token, result: new Uint8Array(), contentType: '' })));
    expect(await Promise.all(ends)).toEqual(taken.map(() => ['SUCCEEDED!']));
    expect(getEventListeners(parts.draining, 'abort')).toHaveLength(0);
    expect(replica.hub.watchedJobs).toBe(0);
    expect(warnings).toEqual([]);
  });

  it('and fifty streams wait at one drained engine without a warning, and are all told', async () => {
    const { engine, hub } = await scene.replica();
    const namespace = scene.namespace();
    const jobId = await enqueue(engine, namespace);
    const told = Array.from({ length: 50 }, () =>
      engine.jobs.awaitTerminal({ namespace, jobId, includeProgress: false, afterLife: 0 }, never()),
    );
    const streams = Array.from({ length: 50 }, (_, index) =>
      engine.events.subscribe(query(namespace, index % 2 === 0 ? {} : { scope: { kind: 'job', jobId } }), never()),
    );
    for (const stream of [...told, ...streams]) await stream.next();
    for (const stream of streams) expect((await stream.next()).value).toMatchObject({ events: [{ jobId }] });
    const waiting = told.map((stream) => expect(stream.next()).rejects.toMatchObject(SHUTTING_DOWN));
    const leaving = streams.map((stream) => stream.next());
    await engine.drain();
    await Promise.all(waiting);
    for (const { value } of await Promise.all(leaving)) expect(value).toMatchObject({ events: [], reconnect: 'shutting_down' });
    for (const stream of streams) expect((await stream.next()).done).toBe(true);
    expect(hub.watchedJobs).toBe(0);
    expect(warnings).toEqual([]);
  });

  it('wakes though no ring is heard', async () => {
    const here = await scene.replica({ deaf: true });
    const there = await scene.replica();
    const namespace = scene.namespace();
    const jobId = await enqueue(there.engine, namespace);
    const states = here.engine.jobs.awaitTerminal({ namespace, jobId, includeProgress: false, afterLife: 0 }, never());
    await states.next();
    for (const { token } of await claim(there.engine, namespace)) await ack(there.engine, token);
    expect((await states.next()).value).toMatchObject({ job: { state: 'SUCCEEDED' }, terminal: true });
    expect((await states.next()).done).toBe(true);
  });

  it('of a job that has ended tells its end at once', async () => {
    const { engine } = await scene.replica();
    const namespace = scene.namespace();
    const jobId = await enqueue(engine, namespace);
    for (const { token } of await claim(engine, namespace)) await ack(engine, token);
    const states = (afterLife: number, signal: AbortSignal) =>
      engine.jobs.awaitTerminal({ namespace, jobId, includeProgress: false, afterLife }, signal);
    expect(await statesOf(states(0, never()))).toEqual(['SUCCEEDED!']);
    // The end of a later life is another end.
    const left = new AbortController();
    const later = states(1, left.signal);
    expect((await later.next()).value).toMatchObject({ job: { state: 'SUCCEEDED' }, terminal: false });
    left.abort();
    expect((await later.next()).done).toBe(true);
  });

  it('with progress tells every state it comes by; without, the first and the end', async () => {
    const { engine } = await scene.replica();
    const namespace = scene.namespace();
    const jobId = await enqueue(engine, namespace);
    const states = (includeProgress: boolean) => engine.jobs.awaitTerminal({ namespace, jobId, includeProgress, afterLife: 0 }, never());
    const [all, ends] = [states(true), states(false)];
    const expectState = async (state: JobState) => expect((await all.next()).value).toMatchObject({ job: { state }, terminal: false });
    await expectState('READY');
    const told = statesOf(ends);
    const [taken] = await claim(engine, namespace, { startOnClaim: false });
    if (taken === undefined) throw new Error('nothing was claimed');
    await expectState('LEASED');
    await engine.workers.start(taken.token);
    await expectState('RUNNING');
    await ack(engine, taken.token);
    expect((await all.next()).value).toMatchObject({ job: { state: 'SUCCEEDED' }, terminal: true });
    expect((await all.next()).done).toBe(true);
    expect(await told).toEqual(['READY', 'SUCCEEDED!']);
  });

  it('ends without a word when its caller is gone', async () => {
    const { engine, hub } = await scene.replica();
    const namespace = scene.namespace();
    const jobId = await enqueue(engine, namespace);
    const gone = new AbortController();
    const states = engine.jobs.awaitTerminal({ namespace, jobId, includeProgress: true, afterLife: 0 }, gone.signal);
    await states.next();
    const waiting = states.next();
    gone.abort();
    expect((await waiting).done).toBe(true);
    expect(hub.watchedJobs).toBe(0);
  });

  it('finds no job of another namespace', async () => {
    const { engine } = await scene.replica();
    const jobId = await enqueue(engine, scene.namespace());
    const states = engine.jobs.awaitTerminal({ namespace: scene.namespace(), jobId, includeProgress: false, afterLife: 0 }, never());
    await expect(states.next()).rejects.toMatchObject({ refusal: { kind: 'job_not_found', jobId } });
  });

  it('tells the end of the life that it awaits, though a retry has begun another since', async () => {
    const replica = await scene.replica();
    const namespace = scene.namespace();
    const jobId = await enqueue(replica.engine, namespace);
    const operated = { namespace, jobId, reason: 'over and over', request: null };
    const awaited = { namespace, jobId, includeProgress: false, afterLife: 0 };
    const first = awaitTerminal(awaiting(replica), awaited, never());
    expect(await first.next()).toMatchObject({ value: { terminal: false, job: { life: 1 } } });
    await replica.engine.jobs.cancelJob(operated);
    await replica.engine.jobs.retryJob(operated);
    // It reads when it is asked for its next message: by then the second life has begun.
    expect(await first.next()).toMatchObject({ value: { terminal: true, job: { life: 1, state: 'CANCELLED', lastSequence: 2 } } });
    const second = awaitTerminal(awaiting(replica), awaited, never());
    expect(await second.next()).toMatchObject({ value: { terminal: false, job: { life: 2, state: 'READY' } } });
    await second.return(undefined);
    const later = awaitTerminal(awaiting(replica), { ...awaited, afterLife: 2 }, never());
    expect(await later.next()).toMatchObject({ value: { terminal: false } });
    await later.return(undefined);
  });
});
