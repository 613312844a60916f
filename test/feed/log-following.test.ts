import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/domain/limits.ts';
import { createDatabase } from '../support/database.ts';
import { FROM_NOW, keyOf } from './follower.ts';
import { OpenTransaction } from './open-transaction.ts';
import { useScene } from './scene.ts';
import { claim, enqueue, enqueueInTurn, enqueueTogether, runThrough } from './work.ts';

const scene = useScene();
const enqueuedKeys = (jobIds: readonly Parameters<typeof keyOf>[0]['jobId'][]) => jobIds.map((jobId) => keyOf({ jobId, sequence: 1 }));

describe('a follower', () => {
  it('is told a claim before its ack, though the acking transaction is the older one', async () => {
    const { engine } = await scene.replica();
    const namespace = scene.namespace();
    const follower = scene.follow(engine, namespace, { start: FROM_NOW });
    await follower.next();
    const older = await OpenTransaction.begin(scene.database.url);
    const jobId = await enqueue(engine, namespace);
    for (const { token } of await claim(engine, namespace)) await older.ack(token);
    await older.commit();
    // From a cursor that saw none of it: all is in one window.
    const { events } = await scene
      .follow(engine, namespace, { start: { kind: 'cursor', cursor: follower.cursor } })
      .until(({ keys }) => keys.includes(keyOf({ jobId, sequence: 4 })));
    expect(events.map(({ detail }) => detail.type)).toEqual(['enqueued', 'claimed', 'started', 'succeeded']);
  });

  it('resumes in the middle of what one statement did', async () => {
    const { engine } = await scene.replica();
    const another = await scene.replica();
    const namespace = scene.namespace();
    const count = 2 * LIMITS.eventsPerMessage + 100;
    const jobIds = await enqueueTogether(engine, namespace, count);
    const follower = await scene.follow(engine, namespace).untilCount(count);
    expect(follower.deliveries.map(({ events }) => events.length)).toEqual([0, LIMITS.eventsPerMessage, LIMITS.eventsPerMessage, 100]);
    expect(follower.keys).toEqual(enqueuedKeys(jobIds));
    for (const [index, { cursor }] of follower.deliveries.slice(0, -1).entries()) {
      const rest = await scene
        .follow(another.engine, namespace, { start: { kind: 'cursor', cursor } })
        .untilCount(count - index * LIMITS.eventsPerMessage);
      expect(rest.keys).toEqual(follower.keys.slice(index * LIMITS.eventsPerMessage));
    }
  });

  it('resumes from every cursor of a window of many rows', async () => {
    const { engine } = await scene.replica();
    const namespace = scene.namespace();
    const start = scene.follow(engine, namespace, { start: FROM_NOW });
    await start.next();
    const jobIds = await enqueueInTurn(engine, namespace, 150);
    const follower = await scene.follow(engine, namespace, { start: { kind: 'cursor', cursor: start.cursor } }).untilCount(150);
    expect(follower.keys).toEqual(enqueuedKeys(jobIds));
    let passed = 0;
    for (const { cursor, events } of follower.deliveries.slice(0, -1)) {
      passed += events.length;
      const rest = await scene.follow(engine, namespace, { start: { kind: 'cursor', cursor } }).untilCount(150 - passed);
      expect(rest.keys).toEqual(follower.keys.slice(passed));
    }
    expect(passed).toBeGreaterThan(32);
  });

  it('goes on from a cursor of another replica that this one has not come to yet', async () => {
    const ahead = await scene.replica();
    const behind = await scene.replica({ deaf: true });
    const namespace = scene.namespace();
    await scene.follow(behind.engine, namespace, { start: FROM_NOW }).next();
    const first = await runThrough(ahead.engine, namespace);
    const { cursor } = await scene.follow(ahead.engine, namespace).until(({ keys }) => keys.includes(keyOf({ jobId: first, sequence: 4 })));
    const second = await enqueue(ahead.engine, namespace);
    const follower = await scene.follow(behind.engine, namespace, { start: { kind: 'cursor', cursor } }).untilJob(second);
    expect(follower.keys).toEqual([keyOf({ jobId: second, sequence: 1 })]);
  });

  it('catches up from the log when it has stopped reading and fallen out of the ring', async () => {
    const { engine, hub, reads } = await scene.replica({ ringEvents: 20 });
    const namespace = scene.namespace();
    const follower = scene.follow(engine, namespace, { start: FROM_NOW });
    await follower.next();
    const jobIds = [await enqueue(engine, namespace)];
    await follower.untilCount(1);
    const readBefore = reads.length;
    for (let round = 0; round < 20; round += 1) {
      jobIds.push(...(await enqueueInTurn(engine, namespace, 5)));
      await hub.refresh();
    }
    const ofReaders = () => reads.slice(readBefore).filter(({ upTo }) => upTo !== null).length;
    expect(ofReaders()).toBe(0);
    await follower.untilCount(jobIds.length);
    expect(follower.keys).toEqual(enqueuedKeys(jobIds));
    expect(ofReaders()).toBeGreaterThan(0);
    // Caught up, it is served from the ring again.
    const readCaughtUp = ofReaders();
    jobIds.push(await enqueue(engine, namespace));
    await follower.untilCount(jobIds.length);
    expect(ofReaders()).toBe(readCaughtUp);
  });

  it('misses nothing that is committed after its first message, on whatever replica', async () => {
    const [here, there] = [await scene.replica({ deaf: true }), await scene.replica({ deaf: true })];
    for (let round = 0; round < 3; round += 1) {
      const namespace = scene.namespace();
      // Just before, and no business of the follower's.
      await runThrough(there.engine, namespace);
      const follower = scene.follow(here.engine, namespace, { start: FROM_NOW });
      await follower.next();
      const jobId = await enqueue(there.engine, namespace);
      await follower.untilJob(jobId);
      expect(follower.keys).toEqual([keyOf({ jobId, sequence: 1 })]);
    }
  });

  it.each(['this', 'another'])('is not stalled by a transaction that writes and stays open in %s database', async (which) => {
    const { engine } = await scene.replica();
    const namespace = scene.namespace();
    const other = await createDatabase();
    const open = await OpenTransaction.begin(which === 'this' ? scene.database.url : other.url);
    try {
      const follower = scene.follow(engine, namespace, { start: FROM_NOW });
      await follower.next();
      const jobId = await runThrough(engine, namespace);
      await follower.until(({ keys }) => keys.includes(keyOf({ jobId, sequence: 4 })));
      const fromBeginning = await scene.follow(engine, namespace).untilCount(4);
      expect(fromBeginning.keys).toEqual(follower.keys);
    } finally {
      await open.rollback();
      await other.drop();
    }
  });
});
