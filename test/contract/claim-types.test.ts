/** Claims by type, and what one worker may hold, as clients see them. */
import { describe, expect, it } from 'vitest';
import { ClaimDecision } from '../../gen/stint/v1/worker_service.ts';
import { parked } from './parked.ts';
import { type Scene, useService } from './scene.ts';
import { held, reasonOf, refusal, seconds } from './stint.ts';

const scene = useService();

const { ASSIGNED, BACKPRESSURE, EMPTY } = ClaimDecision;
const idsOf = ({ jobs }: Awaited<ReturnType<Scene['claim']>>) => jobs.map(({ job }) => job?.jobId);

describe('a claim with types', () => {
  it('gets jobs of these, by priority and position, from all its queues, and leaves the others', async () => {
    const one = scene();
    const mail = await one.enqueue({ type: 'mail' });
    const sms = await one.enqueue({ type: 'sms' });
    const urgent = await one.enqueue({ type: 'mail', priority: 9 });
    const other = await one.enqueue({ queue: 'other', type: 'mail' });
    const request = { queues: [one.queue, 'other'], maxJobs: 10 };
    expect(await one.claim({ ...request, types: ['fax'] })).toEqual({ jobs: [], decision: EMPTY });
    const answer = await one.claim({ ...request, types: ['mail', 'fax', 'mail'] });
    expect(idsOf(answer)).toEqual([urgent, mail, other].map(({ jobId }) => jobId));
    expect(answer.decision).toBe(ASSIGNED);
    expect(idsOf(await one.claim(request))).toEqual([sms.jobId]);
    await one.isSound();
  });

  it('waits for a job of its type, whatever else comes', async () => {
    const one = scene();
    const waiting = await parked(one, { types: ['mail'] });
    const sms = await one.enqueue({ type: 'sms' });
    const mail = await one.enqueue({ type: 'mail' });
    expect(held((await waiting.answer).jobs[0]).jobId).toBe(mail.jobId);
    expect(held((await one.claim()).jobs[0]).jobId).toBe(sms.jobId);
    await one.isSound();
  });

  it('answers its request id again, whatever it asks for then', async () => {
    const one = scene();
    await one.enqueue({ type: 'mail' });
    await one.enqueue({ type: 'sms' });
    const first = await one.claim({ types: ['mail'], requestId: 'r' });
    expect(idsOf(await one.claim({ types: ['sms'], requestId: 'r' }))).toEqual(idsOf(first));
  });

  it('has BACKPRESSURE only where jobs of its types wait', async () => {
    const one = scene();
    await one.stint.putQueue({ namespace: one.namespace, queue: { name: one.queue, maxInFlight: 1 } });
    for (const type of ['sms', 'sms']) await one.enqueue({ type });
    await one.claimOne();
    expect((await one.claim({ types: ['mail'] })).decision).toBe(EMPTY);
    expect((await one.claim({ types: ['mail', 'sms'] })).decision).toBe(BACKPRESSURE);
  });

  it('is refused by field', async () => {
    const one = scene();
    const fieldsOf = async (types: string[], queues = [one.queue]) =>
      (await refusal(one.claim({ queues, types }))).violations.map(({ field }) => field);
    const names = (count: number) => Array.from({ length: count }, (_, index) => `n${index}`);
    expect(await fieldsOf(['a', 'no spaces', ''])).toEqual(['types[1]', 'types[2]']);
    expect(await fieldsOf(names(101))).toEqual(['types']);
    expect(await fieldsOf(names(11), names(1_000))).toEqual(['types']);
    expect(await fieldsOf([], names(1_001))).toEqual(['queues']);
    expect((await one.claim({ types: names(10), queues: names(1_000) })).decision).toBe(EMPTY);
  });

  it('is foreseen by PeekQueue', async () => {
    const one = scene();
    for (const type of ['sms', 'mail', 'sms', 'fax']) await one.enqueue({ type });
    const peek = async (types: string[]) =>
      (await one.stint.peekQueue({ namespace: one.namespace, queue: one.queue, types })).jobs.map(({ type }) => type);
    expect(await peek(['fax', 'mail'])).toEqual(['mail', 'fax']);
    await one.claim({ types: ['mail'] });
    expect(await peek(['fax', 'mail'])).toEqual(['fax']);
    expect((await refusal(one.stint.peekQueue({ namespace: one.namespace, queue: one.queue, types: ['a b'] }))).violations).toMatchObject([
      { field: 'types[0]' },
    ]);
  });
});

describe('max_in_flight_per_worker', () => {
  const bound = ({ stint, namespace, queue }: Scene, maxInFlightPerWorker: number | undefined) =>
    stint.putQueue({ namespace, queue: { name: queue, maxInFlightPerWorker }, updateMask: ['max_in_flight_per_worker'] });

  it('is told, kept for each worker, and taken away by its name', async () => {
    const one = scene();
    expect((await bound(one, 2)).queue?.maxInFlightPerWorker).toBe(2);
    for (let count = 0; count < 9; count += 1) await one.enqueue();
    const answers = await Promise.all(['a', 'a', 'a', 'b', 'b'].map((workerId) => one.claim({ workerId, maxJobs: 5 })));
    const heldBy = (workerId: string) => answers.flatMap(({ jobs }) => jobs).filter(({ job }) => job?.workerId === workerId);
    expect([heldBy('a').length, heldBy('b').length]).toEqual([2, 2]);
    expect(await one.claim({ workerId: 'a' })).toEqual({ jobs: [], decision: BACKPRESSURE });
    expect((await bound(one, undefined)).queue?.maxInFlightPerWorker).toBeUndefined();
    expect((await one.claim({ workerId: 'a', maxJobs: 9 })).jobs).toHaveLength(5);
    await one.isSound();
  });

  it('wakes the claim of a worker when it has room, and not by another', async () => {
    const one = scene();
    await bound(one, 1);
    for (let count = 0; count < 3; count += 1) await one.enqueue();
    const first = await one.claimOne({ workerId: 'a' });
    const second = await one.claimOne({ workerId: 'b' });
    const waiting = await parked(one, { workerId: 'a' });
    await one.stint.ack({ leaseToken: first.leaseToken });
    expect((await waiting.answer).jobs).toHaveLength(1);
    await one.stint.ack({ leaseToken: second.leaseToken });
    expect(await one.claim({ workerId: 'a', wait: seconds(0.2) })).toEqual({ jobs: [], decision: EMPTY });
    await one.isSound();
  });

  it('must be 1 or more', async () => {
    const one = scene();
    expect((await refusal(bound(one, 0))).violations).toMatchObject([{ field: 'queue.max_in_flight_per_worker' }]);
    expect(await reasonOf(one.stint.getQueue({ namespace: one.namespace, queue: one.queue }))).toBe('NOT_FOUND/QUEUE_NOT_FOUND');
  });
});
