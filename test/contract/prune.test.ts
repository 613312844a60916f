/** What operators remove before its time, and what is left of it. */
import { describe, expect, it } from 'vitest';
import { IdempotencyScope, JobState } from '../../gen/stint/v1/job.ts';
import { type Scene, useService } from './scene.ts';
import { jobIn, nameOf, STATES } from './standing.ts';
import { collect, reasonOf, refusal, seconds, uuidV7 } from './stint.ts';

const scene = useService();

type PruneTold = Partial<Parameters<Scene['stint']['prune']>[0]>;

/** Everything that is over by the database's clock. */
async function prune({ stint, namespace }: Scene, told: PruneTold = {}) {
  const { databaseTime } = await stint.getServerInfo({});
  return await stint.prune({ namespace, finishedBefore: databaseTime, ...told });
}

const gone = 'NOT_FOUND/JOB_NOT_FOUND';

describe('Prune', () => {
  it.each(STATES)('of a namespace with one job, which is %s, removes it if it is over, and not otherwise', async (state) => {
    const one = scene();
    const { jobId } = await jobIn(one, state);
    const isOver = ['SUCCEEDED', 'FAILED', 'CANCELLED', 'ABANDONED'].includes(state);
    expect(await prune(one)).toEqual({ pruned: isOver ? 1n : 0n, complete: true });
    if (isOver) expect(await reasonOf(one.job(jobId))).toBe(gone);
    else expect(nameOf((await one.job(jobId)).state)).toBe(state);
    await one.isSound();
  });

  it('leaves nothing of a job to be read or done: each call answers NOT_FOUND', async () => {
    const one = scene();
    const { stint, namespace } = one;
    const { jobId, stale } = await jobIn(one, 'FAILED');
    const [letter] = (await stint.listDeadLetters({ namespace })).deadLetters;
    await prune(one);
    const job = { namespace, jobId };
    expect(await reasonOf(stint.getJob(job))).toBe(gone);
    expect(await reasonOf(stint.listAttempts(job))).toBe(gone);
    expect(await reasonOf(stint.listEvents(job))).toBe(gone);
    expect(await reasonOf(stint.cancelJob(job))).toBe(gone);
    expect(await reasonOf(stint.retryJob(job))).toBe(gone);
    expect(await reasonOf(stint.resumeJob(job))).toBe(gone);
    expect(await reasonOf(stint.updateJob({ ...job, priority: 1, updateMask: ['priority'] }))).toBe(gone);
    expect(await reasonOf(stint.requestAbandon(job))).toBe(gone);
    expect(await reasonOf(stint.awaitTerminal(job).rest())).toBe(gone);
    const scope = { $case: 'jobId' as const, jobId };
    expect(await reasonOf(stint.subscribe({ namespace, scope }).next())).toBe(gone);
    expect(await reasonOf(stint.ack({ leaseToken: stale.failed }))).toBe('FAILED_PRECONDITION/LEASE_LOST');
    expect((await stint.listJobs({ namespace })).jobs).toEqual([]);
    expect((await stint.listDeadLetters({ namespace, includeReplayed: true })).deadLetters).toEqual([]);
    const ids = [letter?.deadLetterId ?? ''];
    const { results } = await stint.replayDeadLetters({ namespace, deadLetterIds: ids });
    expect(results[0]?.result).toMatchObject({ $case: 'error', error: { code: 5 } });
    expect((await stint.getSignature({ namespace, queue: one.queue })).jobCount).toBe(0n);
    await one.isSound();
  });

  it('goes by queue, by state and by the time at which the life ended', async () => {
    const one = scene();
    const { stint, namespace } = one;
    const ended = async (queue: string, state: 'ack' | 'cancel') => {
      const { jobId } = await one.enqueue({ queue });
      if (state === 'cancel') await stint.cancelJob({ namespace, jobId });
      else await stint.ack({ leaseToken: (await one.claimOne({ queues: [queue] })).leaseToken });
      return await one.job(jobId);
    };
    const [early, late, cancelled, aside] = [
      await ended('work', 'ack'),
      await ended('work', 'ack'),
      await ended('work', 'cancel'),
      await ended('aside', 'ack'),
    ];
    // Before, not at.
    expect(await prune(one, { finishedBefore: early.finishedAt })).toEqual({ pruned: 0n, complete: true });
    expect(await prune(one, { finishedBefore: late.finishedAt })).toEqual({ pruned: 1n, complete: true });
    expect(await reasonOf(one.job(early.jobId))).toBe(gone);
    expect(await prune(one, { states: [JobState.CANCELLED, JobState.FAILED] })).toEqual({ pruned: 1n, complete: true });
    expect(await reasonOf(one.job(cancelled.jobId))).toBe(gone);
    expect(await prune(one, { queue: 'aside' })).toEqual({ pruned: 1n, complete: true });
    expect(await reasonOf(one.job(aside.jobId))).toBe(gone);
    expect((await one.job(late.jobId)).jobId).toBe(late.jobId);
  });

  it('with dry_run only tells', async () => {
    const one = scene();
    await jobIn(one, 'SUCCEEDED');
    await jobIn(one, 'CANCELLED');
    await jobIn(one, 'SUSPENDED');
    expect(await prune(one, { dryRun: true, requestId: 'dry' })).toEqual({ pruned: 2n, complete: true });
    expect((await one.stint.listJobs({ namespace: one.namespace })).jobs).toHaveLength(3);
    expect(await prune(scene())).toEqual({ pruned: 0n, complete: true });
    expect((await one.stint.listJobs({ namespace: one.namespace })).jobs).toHaveLength(3);
    expect((await one.stint.listAuditRecords({ namespace: one.namespace })).records).toEqual([]);
  });

  it('is done a bounded part at a time, until it is complete', async () => {
    const one = scene();
    const jobs = Array.from({ length: 1_000 }, () => ({ queue: one.queue }));
    for (let batch = 0; batch < 2; batch += 1) await one.stint.enqueueBatch({ namespace: one.namespace, jobs });
    for (let left = 2_000; left > 0;) {
      const { jobs: held } = await one.claim({ maxJobs: 1_000 });
      await one.stint.settle({
        settlements: held.map(({ lease }) => ({ leaseToken: lease?.leaseToken ?? '', action: { $case: 'ack', ack: {} } })),
      });
      left -= held.length;
    }
    const { databaseTime } = await one.stint.getServerInfo({});
    const told: bigint[] = [];
    for (let complete = false; !complete;) {
      const answer = await prune(one, { finishedBefore: databaseTime });
      told.push(answer.pruned);
      ({ complete } = answer);
    }
    expect(told.length).toBeGreaterThan(1);
    expect(told.reduce((sum, count) => sum + count, 0n)).toBe(2_000n);
    expect((await one.stint.listJobs({ namespace: one.namespace })).jobs).toEqual([]);
  });

  it('leaves an audit record, and answers the same under its request id', async () => {
    const one = scene();
    const { stint, namespace, queue } = one;
    await jobIn(one, 'CANCELLED');
    const { databaseTime } = await stint.getServerInfo({});
    const request = { namespace, queue, states: [JobState.CANCELLED], finishedBefore: databaseTime, requestId: 'p' };
    const answer = await stint.prune(request);
    expect(answer).toEqual({ pruned: 1n, complete: true });
    await jobIn(one, 'CANCELLED');
    expect(await stint.prune(request)).toEqual(answer);
    const other = await refusal(stint.prune({ ...request, states: [] }));
    expect(other.violations.map(({ field }) => field)).toEqual(['request_id']);
    const { records } = await stint.listAuditRecords({ namespace });
    expect(records).toMatchObject([{ action: 'PRUNE', queue, actor: expect.stringMatching(/./) }]);
    expect(JSON.parse(records[0]?.after ?? '')).toEqual({ pruned: 1, complete: true });
    expect(JSON.parse(records[0]?.before ?? '')).toMatchObject({ states: ['CANCELLED'] });
  });

  it.each<[string, string, PruneTold]>([
    ['states[1]', 'INVALID_FIELD', { states: [JobState.SUCCEEDED, JobState.READY] }],
    ['states[0]', 'INVALID_FIELD', { states: [JobState.UNSPECIFIED] }],
    ['finished_before', 'INVALID_FIELD', { finishedBefore: undefined }],
    ['finished_before', 'INVALID_FIELD', { finishedBefore: seconds(Date.now() / 1_000 + 3_600) }],
    ['finished_before', 'INVALID_FIELD', { finishedBefore: seconds(-1) }],
    ['queue', 'INVALID_FIELD', { queue: 'no spaces' }],
    ['namespace', 'INVALID_FIELD', { namespace: 'no spaces' }],
    ['', 'QUEUE_NOT_FOUND', { queue: 'nowhere' }],
  ])('is refused by %s: %s, and removes nothing', async (field, reason, told) => {
    const one = scene();
    const { jobId } = await jobIn(one, 'SUCCEEDED');
    const refused = await refusal(prune(one, told));
    expect(refused.info?.reason).toBe(reason);
    expect(refused.violations.map((one) => one.field)).toEqual(field === '' ? [] : [field]);
    expect((await one.job(jobId)).jobId).toBe(jobId);
    expect((await one.stint.listAuditRecords({ namespace: one.namespace })).records).toEqual([]);
  });
});

describe('what was pruned', () => {
  it('frees its id and its key', async () => {
    const one = scene();
    const spec = { jobId: uuidV7(), idempotencyKey: 'k' };
    const { leaseToken } = await one.enqueueAndClaim(spec);
    await one.stint.ack({ leaseToken });
    await prune(one);
    expect(await one.enqueue(spec)).toMatchObject({ state: JobState.READY, jobId: spec.jobId });
  });

  it('keeps its key while the ttl of the key says so', async () => {
    const one = scene();
    const { stint, namespace, queue } = one;
    const spec = { queue, idempotencyKey: 'k', idempotency: { scope: IdempotencyScope.RETAINED, ttl: seconds(3_600) } };
    const { leaseToken, jobId } = await one.enqueueAndClaim(spec);
    await stint.ack({ leaseToken });
    await prune(one);
    expect(await reasonOf(one.job(jobId))).toBe(gone);
    const again = await stint.enqueue({ namespace, job: { ...spec, type: 'test' } });
    expect(again).toMatchObject({ deduplicated: true, job: { jobId, state: JobState.SUCCEEDED } });
    const other = stint.enqueue({ namespace, job: { ...spec, type: 'other' } });
    expect(await reasonOf(other)).toBe('ALREADY_EXISTS/DUPLICATE_JOB');
  });

  it('does not disturb a page token that was given before', async () => {
    const one = scene();
    const { stint, namespace } = one;
    const ids: string[] = [];
    // The one that stays is not to be claimed: a READY one might be, in place of the next.
    for (let count = 0; count < 4; count += 1) ids.unshift((await jobIn(one, count === 0 ? 'SUSPENDED' : 'FAILED')).jobId);
    const jobs = await stint.listJobs({ namespace, pageSize: 2 });
    const letters = await stint.listDeadLetters({ namespace, queue: one.queue, pageSize: 1 });
    await prune(one);
    const rest = await stint.listJobs({ namespace, pageSize: 2, pageToken: jobs.nextPageToken });
    expect(rest.jobs.map(({ jobId }) => jobId)).toEqual(ids.slice(3));
    const { deadLetters } = await stint.listDeadLetters({ namespace, queue: one.queue, pageSize: 1, pageToken: letters.nextPageToken });
    expect(deadLetters).toEqual([]);
  });

  it('is still told to a follower of its queue, who goes on', async () => {
    const one = scene();
    const { stint, namespace, queue } = one;
    const scope = { $case: 'queue' as const, queue };
    const follower = stint.subscribe({ namespace, scope, start: { $case: 'fromBeginning', fromBeginning: {} } });
    const { jobId } = await jobIn(one, 'FAILED');
    await prune(one);
    const next = await one.enqueue();
    const { events } = await collect(follower, (seen) => seen.some((event) => event.jobId === next.jobId));
    expect(events.filter((event) => event.jobId === jobId).at(-1)).toMatchObject({ type: 'failed' });
  });
});
