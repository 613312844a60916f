/** A stranger who holds a row: only who needs that very row waits for it. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LeaseToken } from '../../src/domain/lease.ts';
import type { Queue } from '../../src/domain/queue.ts';
import type { RunningEngine } from '../../src/engine/create-engine.ts';
import { engineOn } from '../engine/engine-on.ts';
import { jobSpec, Stage, tokenOf } from '../engine/stage.ts';

let stage: Stage;
let queue: Queue;
let engine: RunningEngine;
beforeAll(async () => {
  stage = await Stage.open();
  engine = engineOn(stage.repository);
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(async () => {
  await engine.drain();
  await stage.close();
});

/** Tells whether a promise has been answered. */
function watched<T>(promise: Promise<T>): { readonly promise: Promise<T>; readonly done: () => boolean } {
  let done = false;
  void promise.then(
    () => (done = true),
    () => (done = true),
  );
  return { promise, done: () => done };
}

const spec = (key: string | null, told: Parameters<typeof jobSpec>[0] = {}) =>
  jobSpec({ idempotency: key === null ? null : { key, scope: 'RETAINED', ttlMs: null }, onDuplicate: 'REJECT', ...told });
const enqueue = (key: string | null) => engine.jobs.enqueue({ namespace: queue.namespace, spec: spec(key) });

const sending: Record<'ack' | 'release' | 'heartbeat', (token: LeaseToken) => Promise<unknown>> = {
  ack: (token) => engine.workers.ack({ token, result: new Uint8Array(), contentType: '' }),
  release: (token) => engine.workers.release({ token, delayMs: 0 }),
  heartbeat: (token) => engine.workers.heartbeat([{ token, checkpoint: null }]),
};

describe('a lease that a stranger has locked', () => {
  it.each(['ack', 'release', 'heartbeat'] as const)('stalls its own %s, and not those of its batch', async (kind) => {
    await stage.enqueue(queue, ...Array.from({ length: 100 }, () => ({})));
    const held = await stage.claim(queue, { maxJobs: 100 });
    const [locked, ...free] = held.map(tokenOf);
    if (locked === undefined) throw new Error('nothing was claimed');
    const send = sending[kind];
    const stranger = await stage.stranger((sql) => sql`select 1 from stint.lease where job = ${locked.jobId} for update`);
    const own = watched(send(locked));
    await Promise.all(free.map((token) => send(token)));
    expect(own.done()).toBe(false);
    await Promise.all(free.map((token) => send(token)));
    expect(own.done()).toBe(false);
    await stranger.rollback();
    const expected = { ack: { ok: true }, release: { ok: true }, heartbeat: [{ kind: 'renewed' }] }[kind];
    expect(await own.promise).toMatchObject(expected);
  });
});

describe('a key that a stranger is bringing', () => {
  it('stalls its own enqueue, and not those of its batch', async () => {
    const stranger = await stage.stranger(
      (sql) =>
        sql`insert into stint.idem (shard, queue_id, key, job, until_terminal) values (0, ${queue.id}, 'k', ${stage.mint.mint()}, false)`,
    );
    const own = watched(enqueue('k'));
    const others = await Promise.all(Array.from({ length: 50 }, (_, index) => enqueue(index % 2 === 0 ? `other${index}` : null)));
    expect(others.every((one) => one.ok && !one.value.deduplicated)).toBe(true);
    expect(own.done()).toBe(false);
    await stranger.rollback();
    expect(await own.promise).toMatchObject({ ok: true, value: { deduplicated: false } });
  });

  it('does not make duplicates of those who were committed before it was met', async () => {
    const [former] = await stage.enqueue(queue, { idempotency: { key: 'k', scope: 'RETAINED', ttlMs: 1 } });
    stage.clock.advance(1);
    // The key is free, but its row is held: found in a second statement, after the others of the batch are committed.
    const stranger = await stage.stranger((sql) => sql`select 1 from stint.idem where queue_id = ${queue.id} for update`);
    const own = watched(enqueue('k'));
    const others = await Promise.all(Array.from({ length: 20 }, () => enqueue(null)));
    expect(others.map((one) => one.ok && !one.value.deduplicated)).toEqual(others.map(() => true));
    expect(own.done()).toBe(false);
    await stranger.rollback();
    const result = await own.promise;
    expect(result).toMatchObject({ ok: true, value: { deduplicated: false } });
    expect(result.ok && result.value.job.jobId).not.toBe(former);
    const [row] = await stage.sql`select count(*)::int as jobs from stint.job where queue_id = ${queue.id}`;
    expect(row?.['jobs']).toBe(22);
  });
});
