import { describe, expect, it } from 'vitest';
import { IdempotencyScope, JobState, OnDuplicate } from '../../gen/stint/v1/job.ts';
import { JobView } from '../../gen/stint/v1/job_service.ts';
import { useService } from './scene.ts';
import { fromNow, reasonOf, refusal, seconds, uuidV7 } from './stint.ts';

const scene = useService();

describe('Enqueue', () => {
  it('answers with the job as it can be read from then on', async () => {
    const { stint, namespace, enqueue, job } = scene();
    const input = {
      payload: Buffer.from([0, 255, 1]),
      contentType: 'application/x-test',
      headers: { traceparent: '00-é' },
      labels: { a: '' },
    };
    const enqueued = await enqueue({ ...input, priority: -5 });
    expect(enqueued).toMatchObject({
      namespace,
      state: JobState.READY,
      priority: -5,
      life: 1,
      attempt: 0,
      maxAttempts: 10,
      fence: 0n,
      lastSequence: 1n,
    });
    expect(await job(enqueued.jobId)).toEqual(enqueued);
    const full = await stint.getJob({ namespace, jobId: enqueued.jobId, view: JobView.FULL });
    expect(full).toMatchObject({
      payload: input.payload,
      contentType: input.contentType,
      job: { headers: input.headers, labels: input.labels },
    });
  });

  it('takes an empty namespace for the default one', async () => {
    const { stint } = scene();
    const { job } = await stint.enqueue({ job: { queue: `queue-${uuidV7()}` } });
    expect(job?.namespace).toBe('default');
    expect((await stint.getJob({ namespace: 'default', jobId: job?.jobId ?? '' })).job).toEqual(job);
  });

  it('mints ids that are UUIDv7, each its own, and tell about when the job came', async () => {
    const { enqueue } = scene();
    const jobs = await Promise.all(Array.from({ length: 20 }, () => enqueue()));
    expect(new Set(jobs.map(({ jobId }) => jobId)).size).toBe(20);
    for (const { jobId, createdAt } of jobs) {
      expect(jobId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      const mintedMs = Number.parseInt(jobId.slice(0, 8) + jobId.slice(9, 13), 16);
      expect(Math.abs(mintedMs / 1_000 - Number(createdAt?.seconds))).toBeLessThan(60);
    }
  });

  it('makes a second job of a second call without id and key', async () => {
    const { enqueue } = scene();
    expect((await enqueue()).jobId).not.toBe((await enqueue()).jobId);
  });

  it('schedules what is due later, and takes what was due before as ready', async () => {
    const { enqueue, eventTypes } = scene();
    const later = await enqueue({ runAt: fromNow(3_600) });
    expect(later.state).toBe(JobState.SCHEDULED);
    expect(await eventTypes(later.jobId)).toEqual(['enqueued']);
    expect((await enqueue({ runAt: fromNow(-3_600) })).state).toBe(JobState.READY);
  });

  it('makes a scheduled job claimable when it is due', async () => {
    const { enqueue, claimOne, eventTypes } = scene();
    const { jobId } = await enqueue({ runAt: fromNow(0.5) });
    expect((await claimOne()).jobId).toBe(jobId);
    expect(await eventTypes(jobId)).toEqual(['enqueued', 'ready', 'claimed', 'started']);
  });
});

describe('a job id of the client', () => {
  it('makes a repeated call the same job', async () => {
    const { stint, namespace, queue } = scene();
    const request = { namespace, job: { queue, type: 't', jobId: uuidV7(), payload: Buffer.from('x') } };
    const first = await stint.enqueue(request);
    const second = await stint.enqueue(request);
    expect(first).toMatchObject({ deduplicated: false, job: { jobId: request.job.jobId } });
    expect(second).toEqual({ ...first, deduplicated: true });
  });

  it('with other content is refused, naming the job', async () => {
    const { enqueue, stint, namespace, queue } = scene();
    const { jobId } = await enqueue({ jobId: uuidV7(), payload: Buffer.from('x') });
    const other = await refusal(stint.enqueue({ namespace, job: { queue, type: 'test', jobId, payload: Buffer.from('y') } }));
    expect(other.info).toMatchObject({ reason: 'DUPLICATE_JOB', metadata: { job_id: jobId } });
  });

  it('is refused with the same content too where that was asked for', async () => {
    const { enqueue } = scene();
    const spec = { jobId: uuidV7(), onDuplicate: OnDuplicate.REJECT };
    await enqueue(spec);
    expect(await reasonOf(enqueue(spec))).toBe('ALREADY_EXISTS/DUPLICATE_JOB');
  });

  it('of another namespace is refused without a word about that job', async () => {
    const [one, other] = [scene(), scene()];
    const { jobId } = await other.enqueue({ jobId: uuidV7() });
    const { info } = await refusal(one.enqueue({ jobId }));
    expect(info).toMatchObject({ reason: 'DUPLICATE_JOB' });
    expect(info?.metadata).toEqual({});
  });

  it('makes a repeated call the job that has ended meanwhile', async () => {
    const { stint, enqueue, claimOne } = scene();
    const spec = { jobId: uuidV7() };
    await enqueue(spec);
    await stint.ack({ leaseToken: (await claimOne()).leaseToken });
    expect(await enqueue(spec)).toMatchObject({ jobId: spec.jobId, state: JobState.SUCCEEDED });
  });

  it('may be a day old, but not two', async () => {
    const { enqueue } = scene();
    const dayMs = 86_400_000;
    expect((await enqueue({ jobId: uuidV7(Date.now() - 0.9 * dayMs) })).state).toBe(JobState.READY);
    expect((await enqueue({ jobId: uuidV7(Date.now() + 0.9 * dayMs) })).state).toBe(JobState.READY);
    for (const offsetMs of [-2 * dayMs, 2 * dayMs]) {
      const { info, violations } = await refusal(enqueue({ jobId: uuidV7(Date.now() + offsetMs) }));
      expect(info?.reason).toBe('INVALID_FIELD');
      expect(violations[0]?.field).toBe('job.job_id');
    }
  });
});

describe('an idempotency key', () => {
  it('makes one job, whatever else changes that is not content', async () => {
    const { enqueue } = scene();
    const first = await enqueue({ idempotencyKey: 'k', payload: Buffer.from('x') });
    const again = await enqueue({ idempotencyKey: 'k', payload: Buffer.from('x'), priority: 9, labels: { a: 'b' } });
    expect(again).toEqual(first);
  });

  it('is one of its queue and namespace only', async () => {
    const { enqueue } = scene();
    const other = scene();
    const first = await enqueue({ idempotencyKey: 'k' });
    expect((await enqueue({ idempotencyKey: 'k', queue: 'other' })).jobId).not.toBe(first.jobId);
    expect((await other.enqueue({ idempotencyKey: 'k' })).jobId).not.toBe(first.jobId);
  });

  it.each([
    ['payload', { payload: Buffer.from('other') }],
    ['type', { type: 'other' }],
    ['content type', { contentType: 'text/other' }],
  ])('with another %s is refused', async (_name, change) => {
    const { enqueue } = scene();
    await enqueue({ idempotencyKey: 'k' });
    expect(await reasonOf(enqueue({ idempotencyKey: 'k', ...change }))).toBe('ALREADY_EXISTS/DUPLICATE_JOB');
  });

  it('is refused with the same content too where that was asked for', async () => {
    const { enqueue } = scene();
    await enqueue({ idempotencyKey: 'k' });
    expect(await reasonOf(enqueue({ idempotencyKey: 'k', onDuplicate: OnDuplicate.REJECT }))).toBe('ALREADY_EXISTS/DUPLICATE_JOB');
  });

  it('makes one job of many calls at once', async () => {
    const { enqueue } = scene();
    const jobs = await Promise.all(Array.from({ length: 50 }, () => enqueue({ idempotencyKey: 'k' })));
    expect(new Set(jobs.map(({ jobId }) => jobId)).size).toBe(1);
  });

  it.each([
    [IdempotencyScope.RETAINED, true],
    [IdempotencyScope.UNTIL_TERMINAL, false],
  ])('of scope %i is taken by a job that has ended: %s', async (scope, taken) => {
    const { enqueue, claimOne, stint } = scene();
    const spec = { idempotencyKey: 'k', idempotency: { scope } };
    const first = await enqueue(spec);
    expect((await enqueue(spec)).jobId).toBe(first.jobId);
    await stint.ack({ leaseToken: (await claimOne()).leaseToken });
    expect((await enqueue(spec)).jobId === first.jobId).toBe(taken);
  });

  it('is free once its time is over', async () => {
    const { enqueue, claimOne } = scene();
    const spec = { idempotencyKey: 'k', idempotency: { ttl: seconds(1) } };
    const first = await enqueue(spec);
    await claimOne();
    // A marker that is due after the key's time: once it is claimable, the key is free by the database's own clock.
    const marker = await enqueue({ runAt: fromNow(1.5) });
    expect((await claimOne()).jobId).toBe(marker.jobId);
    expect((await enqueue(spec)).jobId).not.toBe(first.jobId);
  });
});
