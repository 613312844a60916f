/** Slots of concurrency keys: each way to one and out of it, on a clock that the test moves. */
import { describe, expect, it, beforeEach } from 'vitest';
import type { JobId } from '../../src/domain/job.ts';
import { NO_TIMEOUTS } from '../../src/domain/job.ts';
import type { ClaimedJob } from '../../src/engine/ports/repository.ts';
import { put } from '../support/bounds.ts';
import { idsOf } from '../engine/stage.ts';
import {
  ack,
  after,
  asked,
  cancel,
  enqueued,
  failing,
  held,
  KEYED,
  LATER_MS,
  later,
  release,
  SECOND_MS,
  states,
  suspend,
  update,
  upkeep,
  keyed,
  useKeys,
} from './keyed.ts';

/** A lease and its grace, and the budget of a cancellation. */
const LAPSE_MS = 36 * SECOND_MS;

useKeys();

describe('a slot is free once its job', () => {
  const OUT: readonly [string, () => Promise<unknown>][] = [
    ['is done', async () => ack(await held())],
    ['has failed for good', async () => failing(await held(), null, 'TERMINAL')],
    ['waits for a retry', async () => failing(await held())],
    ['is released for later', async () => release(await held(), LATER_MS)],
    ['is suspended', async () => suspend(await held())],
    ['is cancelled while READY', async () => cancel(await enqueued())],
    ['is put off while READY', async () => update(await enqueued(), later())],
    [
      'is cancelled in flight, and its holder fails it',
      async () => {
        const one = await held();
        await cancel(one.job.jobId);
        await failing(one);
      },
    ],
    [
      'is cancelled in flight, and its holder says nothing',
      async () => {
        const one = await held();
        await cancel(one.job.jobId);
        await after(LAPSE_MS, upkeep);
      },
    ],
    ['has lost its lease', async () => after(await held().then(() => LAPSE_MS), upkeep)],
    [
      'has run too long',
      async () => {
        await held({ timeouts: { ...NO_TIMEOUTS, startToCloseMs: SECOND_MS } });
        await after(SECOND_MS, upkeep);
      },
    ],
    [
      'has waited too long',
      async () => {
        await enqueued({ timeouts: { ...NO_TIMEOUTS, scheduleToStartMs: SECOND_MS } });
        await after(SECOND_MS, upkeep);
      },
    ],
  ];
  it.each(OUT)('%s', async (_, out) => {
    await out();
    const next = await enqueued();
    expect(await states(next)).toEqual(['READY']);
  });

  it.each(OUT)('%s, for one that waits', async (_, out) => {
    await put(keyed.stage.repository, keyed.queue, { concurrencyPerKey: 2 });
    const before = await held();
    await out();
    const [a, b] = [await enqueued(), await enqueued()];
    // Some ways take so long that the other lease lapses too.
    const isHeld = (await states(before.job.jobId))[0] === 'RUNNING';
    expect(await states(a, b)).toEqual(['READY', isHeld ? 'BLOCKED' : 'READY']);
    await ack(before);
    await upkeep();
    expect(await states(a, b)).toEqual(['READY', 'READY']);
  });
});

describe('a job needs a slot that', () => {
  const INTO: readonly [string, () => Promise<JobId>, () => Promise<unknown>][] = [
    ['is enqueued', async () => enqueued(), upkeep],
    ['comes due', async () => enqueued(later()), () => after(LATER_MS, upkeep)],
    ['is tried again', async () => held().then(async (one) => (await failing(one), one.job.jobId)), () => after(LATER_MS, upkeep)],
    [
      'was released for later',
      async () => held().then(async (one) => (await release(one, LATER_MS), one.job.jobId)),
      () => after(LATER_MS, upkeep),
    ],
  ];
  it.each(INTO)('%s', async (_, make, come) => {
    const id = await make();
    await update(id, { priority: -1 });
    const other = await enqueued();
    if ((await states(other))[0] === 'BLOCKED') await upkeep();
    const [one] = await keyed.stage.claim(keyed.queue);
    expect(one?.job.jobId).toBe(other);
    await come();
    expect(await states(id)).toEqual(['BLOCKED']);
    if (one !== undefined) await ack(one);
    expect(await states(id)).toEqual(['READY']);
  });

  it('is resumed or retried', async () => {
    const suspended = await held();
    await suspend(suspended);
    const broken = await held();
    await failing(broken, null, 'TERMINAL');
    const other = await held();
    await keyed.stage.repository.resumeMany([asked(suspended.job.jobId)]);
    await keyed.stage.repository.retryMany([asked(broken.job.jobId)]);
    expect(await states(suspended.job.jobId, broken.job.jobId)).toEqual(['BLOCKED', 'BLOCKED']);
    await ack(other);
    expect(await states(suspended.job.jobId, broken.job.jobId)).toEqual(['READY', 'BLOCKED']);
  });

  it('is to come at once, by an update', async () => {
    const id = await enqueued(later());
    await held();
    await update(id, { runAt: null });
    expect(await states(id)).toEqual(['BLOCKED']);
    await update(id, later());
    expect(await states(id)).toEqual(['SCHEDULED']);
  });
});

describe('of those that wait', () => {
  it('the best comes first, by priority and in order, whenever it was raised', async () => {
    const one = await held();
    const [a, b, c] = [await enqueued(), await enqueued(), await enqueued({ priority: 1 })];
    await update(b, { priority: 5 });
    await ack(one);
    expect(await states(a, b, c)).toEqual(['BLOCKED', 'READY', 'BLOCKED']);
    await update(c, { priority: 6 });
    expect(await states(a, b, c)).toEqual(['BLOCKED', 'BLOCKED', 'READY']);
    await update(c, { priority: 0 });
    expect(await states(a, b, c)).toEqual(['BLOCKED', 'READY', 'BLOCKED']);
    const history = await keyed.stage.repository.history(b, 0, 100);
    expect(history?.events.map(({ detail, state }) => `${detail.type} ${state}`)).toEqual([
      ...['enqueued BLOCKED', 'updated BLOCKED', 'ready READY', 'updated BLOCKED', 'ready READY'],
    ]);
  });

  it('a released one comes again at its place', async () => {
    const one = await held();
    const next = await enqueued();
    await release(one);
    expect(await states(one.job.jobId, next)).toEqual(['READY', 'BLOCKED']);
    expect((await keyed.stage.claim(keyed.queue)).map(({ job }) => job.jobId)).toEqual([one.job.jobId]);
    const history = await keyed.stage.repository.history(one.job.jobId, 0, 100);
    expect(history?.events.map(({ detail, state }) => `${detail.type} ${state}`).slice(4, 7)).toEqual([
      ...['released BLOCKED', 'ready READY', 'claimed LEASED'],
    ]);
  });

  it('as many are READY as there are slots, in every key', async () => {
    await put(keyed.stage.repository, keyed.queue, { concurrencyPerKey: 3 });
    const specs = ['a', 'b', 'a', 'b', 'a', 'a', 'b', 'b', 'b'].map((concurrencyKey) => ({ concurrencyKey }));
    const ids = await keyed.stage.enqueue(keyed.queue, ...specs);
    expect(idsOf(await keyed.stage.claim(keyed.queue, { maxJobs: 10 }))).toEqual([0, 1, 2, 3, 4, 6].map((n) => ids[n]));
  });
});

describe('a bound that is changed', () => {
  it('counts with the answer', async () => {
    const ids = await keyed.stage.enqueue(keyed.queue, ...Array.from({ length: 5 }, () => KEYED));
    await put(keyed.stage.repository, keyed.queue, { concurrencyPerKey: 4 });
    expect(await states(...ids)).toEqual(['READY', 'READY', 'READY', 'READY', 'BLOCKED']);
    const [one] = await keyed.stage.claim(keyed.queue);
    await put(keyed.stage.repository, keyed.queue, { concurrencyPerKey: 2 });
    expect(await states(...ids)).toEqual(['RUNNING', 'READY', 'BLOCKED', 'BLOCKED', 'BLOCKED']);
    await put(keyed.stage.repository, keyed.queue, { concurrencyPerKey: 1 });
    expect(await states(...ids)).toEqual(['RUNNING', 'BLOCKED', 'BLOCKED', 'BLOCKED', 'BLOCKED']);
    await ack(one ?? expect.unreachable());
    expect(await states(...ids)).toEqual(['SUCCEEDED', 'READY', 'BLOCKED', 'BLOCKED', 'BLOCKED']);
  });
});

describe('HOLD', () => {
  beforeEach(() => put(keyed.stage.repository, keyed.queue, { concurrencyPolicy: 'HOLD' }));

  const PUT_ASIDE: readonly [string, (one: ClaimedJob) => Promise<unknown>, (id: JobId) => Promise<unknown>][] = [
    ['waits for a retry', (one) => failing(one), () => after(LATER_MS, upkeep)],
    ['is released for later', (one) => release(one, LATER_MS), () => after(LATER_MS, upkeep)],
    ['is released', (one) => release(one), upkeep],
    ['is suspended', suspend, (id) => keyed.stage.repository.resumeMany([asked(id)])],
    ['waits for a retry that is asked for', (one) => failing(one), (id) => update(id, { runAt: null })],
  ];
  it.each(PUT_ASIDE)('keeps the slot of a job that %s, also from a better one', async (_, aside, back) => {
    const one = await held();
    const better = await enqueued({ priority: 9 });
    await aside(one);
    await upkeep();
    expect(await states(better)).toEqual(['BLOCKED']);
    expect(await keyed.stage.violations(keyed.queue.namespace)).toEqual([]);
    await back(one.job.jobId);
    expect(await states(one.job.jobId, better)).toEqual(['READY', 'BLOCKED']);
    const [again] = await keyed.stage.claim(keyed.queue, { maxJobs: 2 });
    expect(again?.job.jobId).toBe(one.job.jobId);
    await ack(again ?? expect.unreachable());
    expect(await states(better)).toEqual(['READY']);
  });

  it('lets go of the slot of a job that is cancelled meanwhile', async () => {
    const one = await held();
    const next = await enqueued();
    await suspend(one);
    await cancel(one.job.jobId);
    expect(await states(next)).toEqual(['READY']);
  });

  it('takes back to its slot a job whose key is paused', async () => {
    const one = await held();
    const next = await enqueued({ priority: 9 });
    await failing(one, keyed.stage.now + 60_000_000);
    await update(one.job.jobId, { runAt: null });
    expect(await states(one.job.jobId, next)).toEqual(['BLOCKED', 'BLOCKED']);
    await after(60_000, upkeep);
    expect(await states(one.job.jobId, next)).toEqual(['READY', 'BLOCKED']);
  });
});
