/** Which enqueues are offered to who waits, and what follows. On a real repository. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Queue } from '../../../src/domain/queue.ts';
import type { RunningEngine } from '../../../src/engine/create-engine.ts';
import { StoreError } from '../../../src/engine/ports/store-error.ts';
import type { Repository } from '../../../src/engine/ports/repository.ts';
import { engineOn, silent } from '../engine-on.ts';
import { jobSpec, Stage } from '../stage.ts';

/** Shorter than the time after which parked claims look again by themselves. */
const WAIT_MS = 4_000;

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
});
afterAll(() => stage.close());

/** Statements of enqueues and claims, in their order. */
const sent: string[] = [];
const UNHEARD = { onLeasesEnded: () => undefined, onDeadLetters: () => undefined, onPruned: () => undefined };

/** Events that were counted. */
let counted: Record<string, number> = {};
/** Claims wait for hints. */
let onParked = () => {};
let broken: (() => Error) | null = null;
/** It is done, and nobody hears of it. */
let lost = false;
let queue: Queue;
let engine: RunningEngine;
beforeEach(async () => {
  sent.splice(0);
  broken = null;
  lost = false;
  queue = await stage.queue();
  const { repository } = stage;
  const noted = <T>(name: string, work: () => Promise<T>): Promise<T> => {
    sent.push(name);
    return work();
  };
  const keepHearing = () => {
    onParked();
    return silent.keepHearing();
  };
  const handOver: Repository['handOver'] = async (...asked) => {
    if (broken !== null) throw broken();
    const handed = await repository.handOver(...asked);
    if (lost) throw new StoreError('unavailable', 'lost');
    return handed;
  };
  const watched = {
    ...repository,
    enqueueMany: (...asked: Parameters<Repository['enqueueMany']>) => noted('enqueueMany', () => repository.enqueueMany(...asked)),
    handOver: (...asked: Parameters<Repository['handOver']>) => noted('handOver', () => handOver(...asked)),
    claim: (...asked: Parameters<Repository['claim']>) => noted('claim', () => repository.claim(...asked)),
  };
  const jobs = { ...UNHEARD, onEvents: (event: string, count: number) => void (counted[event] = (counted[event] ?? 0) + count) };
  counted = {};
  engine = engineOn(watched, { ...silent, keepHearing }, { jobs });
});

const claim = (more: { readonly workerId?: string; readonly requestId?: string | null } = {}) =>
  engine.workers.claim(
    {
      ...{ namespace: queue.namespace, workerId: 'w', queues: [queue.name], maxJobs: 1, waitMs: WAIT_MS },
      ...{ leaseDurationMs: null, startOnClaim: true, requestId: null, ...more },
    },
    new AbortController().signal,
  );

/** So many claims that have looked, found nothing, and wait. */
async function parked(count: number, requestId: string | null = null) {
  const waiting = new Promise<void>((resolve) => (onParked = resolve));
  const claims = Array.from({ length: count }, (_, n) => claim({ workerId: `w${n}`, requestId }));
  await waiting;
  sent.splice(0);
  return claims;
}

const enqueue = (told: Parameters<typeof jobSpec>[0] = {}) =>
  engine.jobs.enqueue({ namespace: queue.namespace, spec: jobSpec({ queue: queue.name, ...told }) });

describe('an enqueue', () => {
  it('gives to one of those who wait in its own commit, and nobody looks for nothing', async () => {
    const claims = await parked(2);
    const [enqueued, { jobs }] = [await enqueue({ type: 'a' }), await Promise.race(claims)];
    expect(jobs).toMatchObject([{ job: { type: 'a', state: 'RUNNING', attempt: 1 } }]);
    expect(enqueued).toMatchObject({ ok: true, value: { job: { jobId: jobs[0]?.job.jobId } } });
    expect(sent).toEqual(['handOver']);
    await enqueue();
    await Promise.all(claims);
    expect(sent).toEqual(['handOver', 'handOver']);
    expect(counted).toEqual({ enqueued: 2, claimed: 2, started: 2 });
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('of more jobs than are wanted leaves the others to who comes', async () => {
    const [waiting] = await parked(1);
    const items = ['a', 'b', 'c'].map((type) => ({ ok: true as const, value: jobSpec({ queue: queue.name, type }) }));
    await engine.jobs.enqueueBatch({ namespace: queue.namespace, items, atomic: false });
    expect((await waiting)?.jobs.map(({ job }) => job.type)).toEqual(['a']);
    expect([await claim(), await claim()].map(({ jobs }) => jobs[0]?.job.type)).toEqual(['b', 'c']);
  });

  it('that finds an older job in the backlog gives nothing, and wakes who waits for both', async () => {
    const waiting = await parked(2);
    // As by another replica, whose ring is still on its way.
    await stage.enqueue(queue, { type: 'older' });
    await enqueue({ type: 'newer' });
    const claimed = await Promise.all(waiting);
    expect(claimed.map(({ jobs }) => jobs[0]?.job.type)).toEqual(['older', 'newer']);
    expect(sent).toEqual(['handOver', 'claim']);
  });

  it.each([
    ['that is bounded by a key', { concurrencyKey: 'k' }],
    ['that has a key', { idempotency: { key: 'k', scope: 'RETAINED' as const, ttlMs: null } }],
  ])('of a job %s wakes who waits', async (_, told) => {
    const [waiting] = await parked(1);
    await enqueue(told);
    expect((await waiting)?.jobs).toHaveLength(1);
    expect(sent).toEqual(['handOver', 'enqueueMany', 'claim']);
  });

  it('of many jobs leaves them to a claim, which works beside the next enqueue', async () => {
    const [waiting] = await parked(1);
    const items = Array.from({ length: 17 }, () => ({ ok: true as const, value: jobSpec({ queue: queue.name }) }));
    await engine.jobs.enqueueBatch({ namespace: queue.namespace, items, atomic: false });
    expect((await waiting)?.jobs).toHaveLength(1);
    expect(sent).toEqual(['enqueueMany', 'claim']);
  });

  it('into another queue has nothing to do with who waits', async () => {
    const other = await stage.queue();
    const [waiting] = await parked(1);
    await engine.jobs.enqueue({ namespace: other.namespace, spec: jobSpec({ queue: other.name }) });
    expect(sent).toEqual(['enqueueMany']);
    await enqueue();
    await waiting;
  });

  it('whose answer is lost is refused, and so is who waits: asked again under its request id it is given what it was given', async () => {
    const [waiting = expect.unreachable()] = await parked(1, 'r');
    const told = expect(waiting).rejects.toThrow('lost');
    lost = true;
    await expect(enqueue()).rejects.toThrow('lost');
    await told;
    const { jobs } = await claim({ workerId: 'w0', requestId: 'r' });
    expect(jobs).toMatchObject([{ job: { state: 'RUNNING', attempt: 1 } }]);
  });

  it('that fails is refused, and who waits has heard nothing of it', async () => {
    const [waiting] = await parked(1);
    broken = () => new StoreError('broken', 'defect');
    await expect(enqueue()).rejects.toThrow('defect');
    broken = null;
    await enqueue({ type: 'next' });
    expect((await waiting)?.jobs).toMatchObject([{ job: { type: 'next' } }]);
  });
});
