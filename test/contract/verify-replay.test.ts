import { describe, expect, it } from 'vitest';
import type { VerifyReplayRequest } from '../../gen/stint/v1/queue_service.ts';
import { useService, type Scene } from './scene.ts';
import { fromNow, reasonOf, refusal, seconds, uuidV7 } from './stint.ts';

const scene = useService();

type Scope = VerifyReplayRequest['scope'];

function ofQueue(queue: string): Scope {
  return { $case: 'queue', queue };
}

/** Jobs in every state that a service comes to by itself, with histories. */
async function variedJobs(of: Scene): Promise<string[]> {
  const { stint, namespace, enqueue, enqueueAndClaim, claimOne } = of;
  const soon = { initialBackoff: { seconds: 0n, nanos: 1_000_000 }, jitter: false };
  const later = { initialBackoff: seconds(600), maxBackoff: seconds(600), jitter: false };
  const done = await enqueueAndClaim();
  await stint.ack({ leaseToken: done.leaseToken, result: Buffer.from('done') });
  const retried = await enqueueAndClaim({ retry: soon });
  await stint.fail({ leaseToken: retried.leaseToken, failure: { code: 'first' } });
  const again = await claimOne();
  await stint.fail({ leaseToken: again.leaseToken, failure: { code: 'last', kind: 2 } });
  await stint.retryJob({ namespace, jobId: again.jobId, reason: 'once more' });
  const anew = await claimOne();
  await stint.release({ leaseToken: anew.leaseToken, delay: seconds(600) });
  const failed = await enqueueAndClaim({ retry: { maxAttempts: 1 } });
  await stint.fail({ leaseToken: failed.leaseToken, failure: { code: 'boom', details: 'x'.repeat(10_000) } });
  const waiting = await enqueueAndClaim({ retry: later });
  await stint.fail({ leaseToken: waiting.leaseToken, failure: { code: 'wait' } });
  const suspended = await enqueueAndClaim();
  await stint.suspend({ leaseToken: suspended.leaseToken, reason: 'a look' });
  const cancelled = await enqueue();
  await stint.cancelJob({ namespace, jobId: cancelled.jobId });
  const asked = await enqueueAndClaim();
  await stint.cancelJob({ namespace, jobId: asked.jobId });
  const leased = await enqueueAndClaim({}, { start: 2 });
  const scheduled = await enqueue({ runAt: fromNow(600), priority: 4 });
  await stint.updateJob({ namespace, jobId: scheduled.jobId, priority: 9, runAt: fromNow(900), updateMask: ['priority', 'run_at'] });
  const ready = await enqueue({ priority: -3 });
  const held = [done, retried, failed, waiting, suspended, asked, leased].map(({ jobId }) => jobId);
  return [...held, ...[cancelled, scheduled, ready].map(({ jobId }) => jobId)].sort();
}

describe('VerifyReplay', () => {
  it('finds no difference in what the service did, of a queue and of each job', async () => {
    const of = scene();
    const jobIds = await variedJobs(of);
    const { stint, namespace, queue } = of;
    const sound = { differences: [], nextPageToken: '', passedOver: [] };
    expect(await stint.verifyReplay({ namespace, scope: ofQueue(queue) })).toEqual({ ...sound, jobsVerified: jobIds.length });
    for (const jobId of jobIds) {
      expect(await stint.verifyReplay({ namespace, scope: { $case: 'jobId', jobId } })).toEqual({ ...sound, jobsVerified: 1 });
    }
    await of.isSound();
  });

  it('goes through a queue page by page, each job once, and passes by what is of other queues', async () => {
    const of = scene();
    const { stint, namespace, queue } = of;
    for (const other of [queue, 'other', queue, queue, 'other', queue, queue]) await of.enqueue({ queue: other });
    const verified: number[] = [];
    for (let pageToken: string | null = ''; pageToken !== null;) {
      const page = await stint.verifyReplay({ namespace, scope: ofQueue(queue), pageSize: 2, pageToken });
      verified.push(page.jobsVerified);
      expect(page.differences).toEqual([]);
      pageToken = page.nextPageToken === '' ? null : page.nextPageToken;
    }
    expect(verified.filter((count) => count > 0)).toEqual([2, 2, 1]);
  });

  it('of a job with a long history folds all of it', { timeout: 60_000 }, async () => {
    const of = scene();
    const { stint, namespace } = of;
    const { jobId } = await of.enqueue();
    await of.enqueue();
    for (let round = 0; round < 60; round += 1) await stint.updateJob({ namespace, jobId, priority: 10 + round, updateMask: ['priority'] });
    for (let round = 0; round < 40; round += 1) {
      const { leaseToken } = await of.claimOne();
      await stint.release({ leaseToken });
    }
    expect((await of.job(jobId)).lastSequence).toBeGreaterThan(100n);
    expect(await stint.verifyReplay({ namespace, scope: ofQueue(of.queue) })).toMatchObject({ jobsVerified: 2, differences: [] });
  });

  it('finds nothing while jobs move', { timeout: 60_000 }, async () => {
    const of = scene();
    const { stint, namespace, queue } = of;
    // Or there is no such queue yet.
    await of.enqueueAndClaim();
    const work = async () => {
      for (let round = 0; round < 30; round += 1) {
        const { leaseToken } = await of.enqueueAndClaim();
        await (round % 3 === 0 ? stint.release({ leaseToken }) : stint.ack({ leaseToken }));
      }
    };
    let isOver = false;
    const over = Promise.all([work(), work()]).finally(() => (isOver = true));
    while (!isOver) {
      const { differences } = await stint.verifyReplay({ namespace, scope: ofQueue(queue), pageSize: 1_000 });
      expect(differences).toEqual([]);
    }
    await over;
  });

  it.each<[string, Parameters<Scene['stint']['verifyReplay']>[0], string]>([
    ['no scope', {}, 'scope'],
    ['a bad job id', { scope: { $case: 'jobId', jobId: 'nonsense' } }, 'job_id'],
    ['a bad name of a queue', { scope: ofQueue('a b') }, 'queue'],
    ['a bad namespace', { namespace: 'a b', scope: ofQueue('q') }, 'namespace'],
    ['a large page', { scope: ofQueue('q'), pageSize: 1_001 }, 'page_size'],
    ['a negative page', { scope: ofQueue('q'), pageSize: -1 }, 'page_size'],
    ['a made-up token', { scope: ofQueue('q'), pageToken: 'made-up' }, 'page_token'],
  ])('refuses %s', async (_what, request, field) => {
    const { stint } = scene();
    expect((await refusal(stint.verifyReplay(request))).violations.map((violation) => violation.field)).toContain(field);
  });

  it('refuses the token of another queue', async () => {
    const of = scene();
    const { stint, namespace, queue } = of;
    for (const other of [queue, queue, 'other']) await of.enqueue({ queue: other });
    const { nextPageToken: pageToken } = await stint.verifyReplay({ namespace, scope: ofQueue(queue), pageSize: 1 });
    expect(pageToken).not.toBe('');
    const { violations } = await refusal(stint.verifyReplay({ namespace, scope: ofQueue('other'), pageToken }));
    expect(violations.map(({ field }) => field)).toEqual(['page_token']);
  });

  it('refuses a job or a queue that the namespace does not have', async () => {
    const { stint, namespace, enqueue } = scene();
    const { jobId } = await enqueue();
    const of = (scope: Scope, within = namespace) => reasonOf(stint.verifyReplay({ namespace: within, scope }));
    expect(await of({ $case: 'jobId', jobId: uuidV7() })).toBe('NOT_FOUND/JOB_NOT_FOUND');
    expect(await of({ $case: 'jobId', jobId }, scene().namespace)).toBe('NOT_FOUND/JOB_NOT_FOUND');
    expect(await of(ofQueue('never'))).toBe('NOT_FOUND/QUEUE_NOT_FOUND');
  });
});
