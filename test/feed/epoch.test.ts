import { describe, expect, it } from 'vitest';
import type { JobId } from '../../src/domain/job.ts';
import type { Engine, Subscribe } from '../../src/engine/engine.ts';
import { formatCursor } from '../../src/engine/events/cursor.ts';
import { snapshotXmax } from '../../src/engine/ports/journal.ts';
import { FROM_BEGINNING, FROM_NOW, keyOf, query } from './follower.ts';
import { useScene } from './scene.ts';
import { ack, claim, enqueue, runThrough } from './work.ts';

const scene = useScene();

const EXPIRED = { refusal: { kind: 'cursor_expired' } };

/** As if the database had been restored into another cluster: the epoch it remembers was opened by a server that is not this one. */
async function restore(): Promise<void> {
  await scene.database.sql`update stint.epoch set system_identifier = system_identifier + 1`;
}

async function epochs(): Promise<readonly { readonly number: number; readonly id: string }[]> {
  return await scene.database.sql<{ number: number; id: string }[]>`select number, id::text from stint.epoch order by number`;
}

async function currentEpoch(): Promise<{ readonly number: number; readonly id: string }> {
  const latest = (await epochs()).at(-1);
  if (latest === undefined) throw new Error('no epoch');
  return latest;
}

/** The scopes that a job of the queue `q` is in. */
const scopes = (jobId: JobId): [string, Subscribe['scope']][] => [
  ['everything', { kind: 'everything' }],
  ['queue', { kind: 'queue', queue: 'q' }],
  ['job', { kind: 'job', jobId }],
];

async function cursorOf(engine: Engine, namespace: string, scope: Subscribe['scope']): Promise<string> {
  const { cursor } = await scene.follow(engine, namespace, { scope }).untilCount(1);
  return cursor;
}

describe('after a restore', () => {
  it('the next write opens a new epoch and succeeds', async () => {
    const { engine } = await scene.replica();
    const namespace = scene.namespace();
    await enqueue(engine, namespace);
    const before = await epochs();
    await restore();
    await enqueue(engine, namespace);
    const after = await epochs();
    expect(after).toHaveLength(before.length + 1);
    expect(after.at(-1)?.number).toBeGreaterThan(before.at(-1)?.number ?? Infinity);
  });

  it('many writers at once open one new epoch', async () => {
    const [one, two] = [await scene.replica(), await scene.replica()];
    const namespace = scene.namespace();
    await enqueue(one.engine, namespace);
    const before = await epochs();
    await restore();
    await Promise.all(Array.from({ length: 10 }, (_, index) => enqueue(index % 2 === 0 ? one.engine : two.engine, namespace)));
    expect(await epochs()).toHaveLength(before.length + 1);
  });

  it('the next fence of a job is the first of the new epoch', async () => {
    const { engine } = await scene.replica();
    const namespace = scene.namespace();
    await enqueue(engine, namespace);
    const [first] = await claim(engine, namespace);
    if (first === undefined) throw new Error('nothing was claimed');
    expect(first.fence >> 32n).toBe(BigInt((await currentEpoch()).number));
    await engine.workers.release({ token: first.token, delayMs: 0 });
    await restore();
    const [second] = await claim(engine, namespace);
    const { number } = await currentEpoch();
    expect(second?.jobId).toBe(first.jobId);
    expect(second?.fence).toBe(BigInt(number) << 32n);
    expect(second?.fence).toBeGreaterThan(first.fence);
  });

  it('a lease of before is still good: the rows were restored with it', async () => {
    const { engine } = await scene.replica();
    const namespace = scene.namespace();
    const jobId = await enqueue(engine, namespace);
    const [taken] = await claim(engine, namespace);
    await restore();
    if (taken !== undefined) await ack(engine, taken.token);
    const job = await engine.jobs.getJob({ namespace, jobId, withPayload: false });
    expect(job.ok && job.value.job.state).toBe('SUCCEEDED');
  });

  it('cursors of before are refused in every scope', async () => {
    const { engine } = await scene.replica();
    const namespace = scene.namespace();
    const jobId = await runThrough(engine, namespace);
    const cursors = await Promise.all(scopes(jobId).map(([, scope]) => cursorOf(engine, namespace, scope)));
    await restore();
    for (const [index, [, scope]] of scopes(jobId).entries()) {
      const follower = scene.follow(engine, namespace, { scope, start: { kind: 'cursor', cursor: cursors[index] ?? '' } });
      await expect(follower.next()).rejects.toMatchObject(EXPIRED);
    }
  });

  it('live streams of every scope end with a word, and nothing of the new history before it', async () => {
    const { engine } = await scene.replica();
    const namespace = scene.namespace();
    const jobId = await enqueue(engine, namespace);
    const followers = scopes(jobId).map(([, scope]) => scene.follow(engine, namespace, { scope, start: FROM_NOW }));
    for (const follower of followers) await follower.next();
    await restore();
    for (const { token } of await claim(engine, namespace)) await ack(engine, token);
    for (const follower of followers) {
      const { deliveries, events, cursor } = await follower.untilEnd();
      expect(events).toEqual([]);
      expect(deliveries.at(-1)).toEqual({ events: [], cursor, reconnect: 'history_ended' });
    }
  });

  it('an await goes on, and wakes', async () => {
    const { engine } = await scene.replica();
    const namespace = scene.namespace();
    const jobId = await enqueue(engine, namespace);
    const states = engine.jobs.awaitTerminal({ namespace, jobId, includeProgress: false, afterLife: 0 }, new AbortController().signal);
    expect((await states.next()).value).toMatchObject({ terminal: false });
    await restore();
    for (const { token } of await claim(engine, namespace)) await ack(engine, token);
    expect((await states.next()).value).toMatchObject({ job: { state: 'SUCCEEDED' }, terminal: true });
  });

  it('from the beginning comes the old history first, then the new one', async () => {
    const { engine } = await scene.replica();
    const namespace = scene.namespace();
    const jobId = await enqueue(engine, namespace);
    const [taken] = await claim(engine, namespace);
    await restore();
    const another = await enqueue(engine, namespace);
    if (taken !== undefined) await ack(engine, taken.token);
    const { keys } = await scene.follow(engine, namespace, { start: FROM_BEGINNING }).untilCount(5);
    expect(keys).toEqual([
      ...[1, 2, 3].map((sequence) => keyOf({ jobId, sequence })),
      keyOf({ jobId: another, sequence: 1 }),
      keyOf({ jobId, sequence: 4 }),
    ]);
  });

  it('a replica that reads nothing forgets what it knew of queues too', async () => {
    const idle = await scene.replica();
    const namespace = scene.namespace();
    await enqueue(idle.engine, namespace);
    await idle.hub.refresh();
    // The restored state is of before the queue was made.
    await scene.database.sql`delete from stint.queue where namespace = ${namespace}`;
    await restore();
    await idle.hub.refresh();
    expect(idle.newEpochs()).toBe(1);
    expect(await idle.engine.queues.getQueue({ namespace, queue: 'q' })).toMatchObject({ ok: false, refusal: { kind: 'queue_not_found' } });
  });

  it('a queue that took the number of another is told by its own name', async () => {
    const { engine } = await scene.replica();
    const namespace = scene.namespace();
    await enqueue(engine, namespace);
    await scene.follow(engine, namespace).untilCount(1);
    await scene.database.sql`update stint.queue set name = 'renamed' where namespace = ${namespace}`;
    await restore();
    const { events } = await scene.follow(engine, namespace).untilCount(1);
    expect(events.map(({ queue }) => queue)).toEqual(['renamed']);
  });

  it('an epoch whose row is lost as well is another one', async () => {
    const { engine } = await scene.replica();
    const namespace = scene.namespace();
    await enqueue(engine, namespace);
    const cursor = await cursorOf(engine, namespace, { kind: 'everything' });
    await scene.database.sql`delete from stint.epoch`;
    await enqueue(engine, namespace);
    await expect(scene.follow(engine, namespace, { start: { kind: 'cursor', cursor } }).next()).rejects.toMatchObject(EXPIRED);
  });
});

describe('a cursor that has seen more than the database', () => {
  it.each(['seen', 'window'] as const)('is refused where it is ahead in %s', async (where) => {
    const { engine, store } = await scene.replica();
    const namespace = scene.namespace();
    await enqueue(engine, namespace);
    const head = await store.journal.head();
    const ahead = `1:${snapshotXmax(head.seen ?? '') + 1_000n}:`;
    const position =
      where === 'seen'
        ? { ...head, seen: ahead }
        : { ...head, window: { upTo: ahead, from: { epoch: head.epoch.number, n: 1, offset: 0 } } };
    const cursor = formatCursor(query(namespace), { kind: 'log', position });
    await expect(scene.follow(engine, namespace, { start: { kind: 'cursor', cursor } }).next()).rejects.toMatchObject(EXPIRED);
  });

  it('is refused for a job that has fewer events', async () => {
    const { engine, store } = await scene.replica();
    const namespace = scene.namespace();
    const jobId = await enqueue(engine, namespace);
    const scope = { kind: 'job', jobId } as const;
    const { epoch } = await store.journal.head();
    const cursor = formatCursor(query(namespace, { scope }), { kind: 'job', epochId: epoch.id, sequence: 2 });
    await expect(scene.follow(engine, namespace, { scope, start: { kind: 'cursor', cursor } }).next()).rejects.toMatchObject(EXPIRED);
  });
});
