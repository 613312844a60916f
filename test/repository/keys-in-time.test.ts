/** Keys that are paused or have a rate, on a clock that the test moves; and what a crash leaves. */
import { describe, expect, it } from 'vitest';
import { enqueueMany } from '../../src/repository/jobs/enqueue-many.ts';
import { ackMany } from '../../src/repository/workers/ack.ts';
import { put } from '../support/bounds.ts';
import { openTransaction } from '../races/open-transaction.ts';
import { tokenOf } from '../engine/stage.ts';
import { ack, after, cancel, enqueued, failing, held, KEYED, release, SECOND_MS, states, upkeep, keyed, useKeys } from './keyed.ts';

useKeys();

describe('throttle_until', () => {
  it('pauses the key until then, also what is READY, and no other', async () => {
    await put(keyed.stage.repository, keyed.queue, { concurrencyPerKey: 2 });
    const one = await held();
    const [ready, blocked, other] = [await enqueued(), await enqueued(), await enqueued({ concurrencyKey: 'other' })];
    const until = keyed.stage.now + 60_000_000;
    await failing(one, until);
    expect(await states(ready, blocked, other)).toEqual(['BLOCKED', 'BLOCKED', 'READY']);
    expect(await keyed.stage.job(one.job.jobId)).toMatchObject({ state: 'RETRY_WAIT', runAt: until });
    const fresh = await enqueued();
    await after(59_999, upkeep);
    expect(await states(ready, blocked, fresh)).toEqual(['BLOCKED', 'BLOCKED', 'BLOCKED']);
    expect((await keyed.stage.repository.nextDue()).unblockAt).toBe(until);
    await after(1, upkeep);
    expect(await states(ready, blocked, fresh)).toEqual(['READY', 'READY', 'BLOCKED']);
  });

  it('is never READY for an instant, also when it is given back', async () => {
    await put(keyed.stage.repository, keyed.queue, { concurrencyPerKey: 2 });
    const [one, two] = [await held(), await held()];
    await failing(one, keyed.stage.now + 60_000_000, 'TERMINAL');
    await release(two);
    const { events = [] } = (await keyed.stage.repository.history(two.job.jobId, 0, 100)) ?? {};
    expect(events.map(({ state }) => state).slice(-1)).toEqual(['BLOCKED']);
    expect(await keyed.stage.claim(keyed.queue)).toEqual([]);
  });

  it('is at most a day, the later of two, and only the own retry of a job without a key', async () => {
    await put(keyed.stage.repository, keyed.queue, { concurrencyPerKey: 2 });
    const [one, two] = [await held(), await held()];
    await failing(one, keyed.stage.now + 100 * 86_400_000_000, 'TERMINAL');
    await failing(two, keyed.stage.now + 1_000, 'TERMINAL');
    const waits = await enqueued();
    await after(86_399_999, upkeep);
    expect(await states(waits)).toEqual(['BLOCKED']);
    await after(1, upkeep);
    expect(await states(waits)).toEqual(['READY']);
    await keyed.stage.claim(keyed.queue);
    const free = await keyed.stage.held(keyed.queue);
    const until = keyed.stage.now + 60_000_000;
    await failing(free, until);
    expect(await keyed.stage.job(free.job.jobId)).toMatchObject({ state: 'RETRY_WAIT', runAt: until });
  });
});

describe('a rate per key', () => {
  it('gives its burst, then one with each permit, in every key of its own', async () => {
    await put(keyed.stage.repository, keyed.queue, {
      concurrencyPerKey: 100,
      rateLimit: { permits: 2, periodMs: SECOND_MS, burst: 3, perKey: true },
    });
    await keyed.stage.enqueue(keyed.queue, ...Array.from({ length: 9 }, () => KEYED), { concurrencyKey: 'other' }, {});
    const claimed = async () => {
      await upkeep();
      return (await keyed.stage.claim(keyed.queue, { maxJobs: 20 })).length;
    };
    expect(await claimed()).toBe(5);
    const given: number[] = [];
    for (let n = 0; n < 8; n += 1) {
      keyed.stage.clock.advance(250);
      given.push(await claimed());
    }
    expect(given).toEqual([0, 1, 0, 1, 0, 1, 0, 1]);
    keyed.stage.clock.advance(60_000);
    expect(await claimed()).toBe(2);
  });

  it('counts a job that is given back and claimed again', async () => {
    await put(keyed.stage.repository, keyed.queue, { rateLimit: { permits: 1, periodMs: SECOND_MS, burst: 1, perKey: true } });
    await release(await held());
    expect(await keyed.stage.claim(keyed.queue)).toEqual([]);
    await after(999, upkeep);
    expect(await keyed.stage.claim(keyed.queue)).toEqual([]);
    await after(1, upkeep);
    expect(await keyed.stage.claim(keyed.queue)).toHaveLength(1);
  });

  it('begins full when it is changed, and is none once it is taken away', async () => {
    const rateLimit = { permits: 1, periodMs: 3_600_000, burst: 1, perKey: true };
    await put(keyed.stage.repository, keyed.queue, { concurrencyPerKey: 9, rateLimit });
    const ids = await keyed.stage.enqueue(keyed.queue, KEYED, KEYED, KEYED, KEYED);
    expect(await keyed.stage.claim(keyed.queue, { maxJobs: 9 })).toHaveLength(1);
    await put(keyed.stage.repository, keyed.queue, { rateLimit: { ...rateLimit, burst: 2 } });
    expect(await states(...ids)).toEqual(['RUNNING', 'READY', 'READY', 'BLOCKED']);
    await put(keyed.stage.repository, keyed.queue, { rateLimit: null });
    expect(await states(...ids)).toEqual(['RUNNING', 'READY', 'READY', 'READY']);
  });
});

describe('what a replica left that died behind its commit', () => {
  it('is found by upkeep: a job that came, and a slot that was freed', async () => {
    const item = keyed.stage.item(keyed.queue, KEYED);
    const now = keyed.stage.clock.now().toISOString();
    await (await openTransaction(keyed.stage.database.url, (run) => enqueueMany(run, now, [item]))).commit();
    expect(await states(item.jobId)).toEqual(['BLOCKED']);
    expect((await keyed.stage.repository.nextDue()).unblockAt).toBe(keyed.stage.now);
    expect(await keyed.stage.repository.unblock()).toMatchObject({ count: 1, jobs: [{ jobId: item.jobId, state: 'READY' }] });
    const [one] = await keyed.stage.claim(keyed.queue);
    const next = await enqueued();
    const settled = { token: tokenOf(one ?? expect.unreachable()), result: new Uint8Array(), contentType: '' };
    await (await openTransaction(keyed.stage.database.url, (run) => ackMany(run, now, [settled]))).commit();
    expect(await states(next)).toEqual(['BLOCKED']);
    await keyed.stage.repository.unblock();
    expect(await states(next)).toEqual(['READY']);
  });
});

describe('what is over leaves nothing', () => {
  it('neither a slot nor a time to look at one', async () => {
    for (const one of [await held(), await held({ concurrencyKey: 'b' })]) await ack(one);
    await cancel(await enqueued());
    expect(await keyed.stage.sql`select * from stint.slot where queue_id = ${keyed.queue.id}`).toEqual([]);
  });
});

describe('CheckInvariants', () => {
  it('tells of a slot that is counted wrong, and of one that nobody looks at', async () => {
    await enqueued();
    await enqueued();
    await keyed.stage.sql`update stint.slot set held = 0 where queue_id = ${keyed.queue.id}`;
    expect(await keyed.stage.violations(keyed.queue.namespace)).toEqual([expect.objectContaining({ invariant: 'I11' })]);
    await keyed.stage.sql`delete from stint.ready where queue_id = ${keyed.queue.id}`;
    await keyed.stage.sql`update stint.slot set ready = 0 where queue_id = ${keyed.queue.id}`;
    expect(await keyed.stage.violations(keyed.queue.namespace)).toContainEqual(expect.objectContaining({ invariant: 'I11' }));
    await keyed.another();
  });
});
