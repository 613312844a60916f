import { describe, expect, it } from 'vitest';
import { OnDuplicate } from '../../gen/stint/v1/job.ts';
import type { EnqueueResult } from '../../gen/stint/v1/job_service.ts';
import { useService } from './scene.ts';
import { itemReason, reasonOf, refusal, uuidV7 } from './stint.ts';

const scene = useService();

const jobIdOf = ({ result }: EnqueueResult) => (result?.$case === 'job' ? result.job.jobId : undefined);
const tell = (one: EnqueueResult) =>
  one.result?.$case === 'error' ? itemReason(one.result.error) : one.deduplicated ? 'deduplicated' : 'new';

describe('EnqueueBatch', () => {
  it('answers each job at its place', async () => {
    const { stint, namespace, queue, job } = scene();
    const jobs = Array.from({ length: 1_000 }, (_, n) => ({ queue, type: `t${n}` }));
    const { results } = await stint.enqueueBatch({ namespace, jobs });
    expect(results.map(({ result }) => (result?.$case === 'job' ? result.job.type : ''))).toEqual(jobs.map(({ type }) => type));
    const ids = results.map(jobIdOf);
    expect(new Set(ids).size).toBe(1_000);
    expect((await job(ids[999] ?? '')).type).toBe('t999');
  });

  it('keeps bad jobs from their neighbours', async () => {
    const { stint, namespace, queue, enqueue } = scene();
    await enqueue({ idempotencyKey: 'taken' });
    const jobs = [
      { queue },
      { queue: 'no spaces' },
      { queue, type: 'test', idempotencyKey: 'taken' },
      { queue, type: 'other', idempotencyKey: 'taken' },
      { queue, payload: Buffer.alloc(1_048_577) },
      { queue, type: 'test', idempotencyKey: 'taken', onDuplicate: OnDuplicate.REJECT },
      { queue, jobId: uuidV7(0) },
      { queue },
    ];
    const { results } = await stint.enqueueBatch({ namespace, jobs });
    expect(results.map(tell)).toEqual([
      'new',
      'INVALID_ARGUMENT/INVALID_FIELD',
      'deduplicated',
      'ALREADY_EXISTS/DUPLICATE_JOB',
      'INVALID_ARGUMENT/INVALID_FIELD',
      'ALREADY_EXISTS/DUPLICATE_JOB',
      'INVALID_ARGUMENT/INVALID_FIELD',
      'new',
    ]);
  });

  it('makes one job of two of the same key', async () => {
    const { stint, namespace, queue } = scene();
    const { results } = await stint.enqueueBatch({ namespace, jobs: [0, 1].map(() => ({ queue, idempotencyKey: 'k' })) });
    expect(new Set(results.map(jobIdOf)).size).toBe(1);
    expect(results.map(tell).toSorted()).toEqual(['deduplicated', 'new']);
  });

  it('takes all or none where that was asked for', async () => {
    const { stint, namespace, queue, enqueue, claim } = scene();
    await enqueue({ queue: 'elsewhere', idempotencyKey: 'taken' });
    const good = [{ queue }, { queue }];
    const bad = { queue: 'elsewhere', type: 'other', idempotencyKey: 'taken' };
    expect(await reasonOf(stint.enqueueBatch({ namespace, atomic: true, jobs: [...good, bad] }))).toBe('ALREADY_EXISTS/DUPLICATE_JOB');
    const { violations } = await refusal(stint.enqueueBatch({ namespace, atomic: true, jobs: [...good, { queue: '?' }] }));
    expect(violations.map(({ field }) => field)).toEqual(['jobs[2].queue']);
    expect((await claim({ maxJobs: 10 })).jobs).toEqual([]);
    const { results } = await stint.enqueueBatch({ namespace, atomic: true, jobs: good });
    expect(results.map(tell)).toEqual(['new', 'new']);
    expect((await claim({ maxJobs: 10 })).jobs).toHaveLength(2);
  });

  it('refuses an empty batch and one of more than a thousand', async () => {
    const { stint, namespace, queue } = scene();
    expect(await reasonOf(stint.enqueueBatch({ namespace, jobs: [] }))).toBe('INVALID_ARGUMENT/INVALID_FIELD');
    const jobs = Array.from({ length: 1_001 }, () => ({ queue }));
    expect(await reasonOf(stint.enqueueBatch({ namespace, jobs }))).toBe('INVALID_ARGUMENT/INVALID_FIELD');
  });
});
