import { describe, expect, it } from 'vitest';
import { IdempotencyScope, JobState } from '../../gen/stint/v1/job.ts';
import { CancelOutcome, type CancelJobsResult, type RetryJobsResult } from '../../gen/stint/v1/job_service.ts';
import { FailureKind } from '../../gen/stint/v1/retry.ts';
import { type Scene, useService } from './scene.ts';
import type { Status } from '../../gen/google/rpc/status.ts';
import { fromNow, itemReason, refusal, seconds } from './stint.ts';

const scene = useService();

const OUTCOMES = new Map<number, string>(Object.entries(CancelOutcome).map(([name, value]) => [value, name]));
const reason = (error: Status | undefined) => (error === undefined ? 'nothing' : itemReason(error));
const cancelled = ({ result }: CancelJobsResult) => (result?.$case === 'outcome' ? OUTCOMES.get(result.outcome) : reason(result?.error));
const retried = ({ result }: RetryJobsResult) => (result?.$case === 'life' ? result.life : reason(result?.error));
/** What each job came to. By job: the clocks by which replicas mint ids lie some milliseconds apart. */
const outcomes = (results: readonly CancelJobsResult[]) => Object.fromEntries(results.map((one) => [one.jobId, cancelled(one)]));
const lives = (results: readonly RetryJobsResult[]) => Object.fromEntries(results.map((one) => [one.jobId, retried(one)]));
const jobIdsOf = (results: readonly { readonly jobId: string }[]) => results.map(({ jobId }) => jobId);

async function enqueueMany({ stint, namespace, queue }: Scene, count: number): Promise<string[]> {
  const { results } = await stint.enqueueBatch({ namespace, jobs: Array.from({ length: count }, () => ({ queue })) });
  return results.map(({ result }) => (result?.$case === 'job' ? result.job.jobId : ''));
}

async function failed({ stint, enqueueAndClaim }: Scene): Promise<string> {
  const { jobId, leaseToken } = await enqueueAndClaim();
  await stint.fail({ leaseToken, failure: { code: 'bad', kind: FailureKind.TERMINAL } });
  return jobId;
}

describe('CancelJobs', () => {
  it('cancels what waits, asks who holds, and leaves ended jobs alone', async () => {
    const here = scene();
    const { stint, namespace, queue, enqueue, claimOne, job, events, isSound } = here;
    const done = await failed(here);
    const held = (await enqueue(), await claimOne());
    const waiting = await enqueue();
    const scheduled = await enqueue({ runAt: fromNow(3_600) });
    const elsewhere = await enqueue({ queue: 'other' });
    const { results, nextPageToken } = await stint.cancelJobs({ namespace, filter: { queue }, reason: 'not wanted' });
    expect(nextPageToken).toBe('');
    expect(outcomes(results)).toEqual({
      [scheduled.jobId]: 'CANCELLED',
      [waiting.jobId]: 'CANCELLED',
      [held.jobId]: 'CANCEL_REQUESTED',
    });
    expect(await job(waiting.jobId)).toMatchObject({ state: JobState.CANCELLED, cancelReason: 'not wanted' });
    expect((await events(held.jobId)).at(-1)?.detail).toMatchObject({ cancelRequested: { reason: 'not wanted' } });
    expect(await job(elsewhere.jobId)).toMatchObject({ state: JobState.READY });
    expect(await job(done)).toMatchObject({ state: JobState.FAILED });
    await isSound();
  });

  it('tells of ended jobs that they had ended, where the filter names their state', async () => {
    const here = scene();
    const jobId = await failed(here);
    const { results } = await here.stint.cancelJobs({ namespace: here.namespace, filter: { states: [JobState.FAILED] } });
    expect(outcomes(results)).toEqual({ [jobId]: 'ALREADY_TERMINAL' });
  });

  it('comes to the end over pages, each job once', async () => {
    const here = scene();
    const { stint, namespace, queue } = here;
    const ids = await enqueueMany(here, 25);
    const told: string[] = [];
    let pageToken = '';
    do {
      const page = await stint.cancelJobs({ namespace, filter: { queue }, pageSize: 10, pageToken });
      expect(page.results.length).toBeLessThanOrEqual(10);
      told.push(...jobIdsOf(page.results));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(told.toSorted()).toEqual(ids.toSorted());
    const left = await stint.listJobs({ namespace, states: [JobState.READY] });
    expect(left.jobs).toEqual([]);
  });

  it('holds to every condition', async () => {
    const { stint, namespace, queue, enqueue } = scene();
    const first = await enqueue({ type: 'a', labels: { team: 'x' } });
    const second = await enqueue({ type: 'a', labels: { team: 'y' } });
    const third = await enqueue({ type: 'b', labels: { team: 'x' }, queue: 'other' });
    const matching = async (filter: NonNullable<Parameters<typeof stint.cancelJobs>[0]['filter']>) =>
      new Set(jobIdsOf((await stint.cancelJobs({ namespace, filter, dryRun: true })).results));
    const only = (...jobs: readonly { readonly jobId: string }[]) => new Set(jobIdsOf(jobs));
    expect(await matching({ type: 'a' })).toEqual(only(first, second));
    expect(await matching({ labels: { team: 'x' } })).toEqual(only(first, third));
    expect(await matching({ labels: { team: 'x' }, queue })).toEqual(only(first));
    expect(await matching({ states: [JobState.READY] })).toEqual(only(first, second, third));
    expect(await matching({ states: [JobState.SUSPENDED] })).toEqual(only());
    expect(await matching({ createdFrom: second.createdAt ?? seconds(0) })).toEqual(only(second, third));
    expect(await matching({ createdBefore: second.createdAt ?? seconds(0) })).toEqual(only(first));
    expect(await matching({ createdFrom: second.createdAt ?? seconds(0), createdBefore: third.createdAt ?? seconds(0) })).toEqual(
      only(second),
    );
  });

  it('changes nothing in a dry run, and tells what would come of it', async () => {
    const here = scene();
    const { stint, namespace, queue, enqueue, claimOne, picture } = here;
    const done = await failed(here);
    const held = (await enqueue(), await claimOne());
    const waiting = await enqueue();
    const ids = [done, held.jobId, waiting.jobId];
    const before = await Promise.all(ids.map(picture));
    const states = [JobState.READY, JobState.RUNNING, JobState.FAILED];
    const request = { namespace, filter: { queue, states }, reason: 'no', requestId: 'one' };
    const { results } = await stint.cancelJobs({ ...request, dryRun: true });
    expect(outcomes(results)).toEqual({ [waiting.jobId]: 'CANCELLED', [held.jobId]: 'CANCEL_REQUESTED', [done]: 'ALREADY_TERMINAL' });
    expect(await Promise.all(ids.map(picture))).toEqual(before);
    // Nothing was done under its id either.
    expect((await stint.cancelJobs(request)).results).toEqual(results);
  });

  it('wakes those who wait for the end of a job', async () => {
    const { stint, namespace, queue, enqueue, terminal } = scene();
    const { jobId } = await enqueue();
    const ended = terminal(jobId);
    await stint.cancelJobs({ namespace, filter: { queue } });
    expect((await ended).state).toBe(JobState.CANCELLED);
  });

  it('tells the holder of a job with its next heartbeat, and forces nothing before its time', async () => {
    const { stint, namespace, queue, enqueueAndClaim, job } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    await stint.cancelJobs({ namespace, filter: { queue } });
    await stint.runUpkeep({});
    expect((await job(jobId)).state).toBe(JobState.RUNNING);
    const { job: acked } = await stint.ack({ leaseToken });
    expect(acked?.state).toBe(JobState.SUCCEEDED);
  });
});

describe('RetryJobs', () => {
  it('begins a new life of what has FAILED or was CANCELLED, and wakes who waits for work', async () => {
    const here = scene();
    const { stint, namespace, queue, enqueue, claim, eventTypes, isSound } = here;
    const bad = await failed(here);
    const { jobId: gone } = await enqueue();
    await stint.cancelJob({ namespace, jobId: gone });
    const { jobId: scheduled } = await enqueue({ runAt: fromNow(3_600) });
    const waiting = claim({ wait: seconds(10), maxJobs: 2 });
    const { results } = await stint.retryJobs({ namespace, filter: { queue }, reason: 'mended' });
    expect(lives(results)).toEqual({ [gone]: 2, [bad]: 2 });
    expect((await waiting).jobs.length).toBeGreaterThan(0);
    expect(await eventTypes(gone)).toContain('retried');
    expect(await eventTypes(scheduled)).toEqual(['enqueued']);
    await isSound();
  });

  it('refuses at their places those that have no life to begin', async () => {
    const here = scene();
    const { stint, namespace, enqueueAndClaim } = here;
    const bad = await failed(here);
    const { leaseToken, jobId: done } = await enqueueAndClaim();
    await stint.ack({ leaseToken });
    const states = [JobState.FAILED, JobState.SUCCEEDED];
    const dry = await stint.retryJobs({ namespace, filter: { states }, dryRun: true });
    const { results } = await stint.retryJobs({ namespace, filter: { states } });
    expect(dry.results).toEqual(results);
    expect(lives(results)).toEqual({ [done]: 'FAILED_PRECONDITION/INVALID_TRANSITION', [bad]: 2 });
  });

  it('refuses a job whose key another live job holds', async () => {
    const { stint, namespace, queue, enqueue } = scene();
    const keyed = { idempotencyKey: 'k', idempotency: { scope: IdempotencyScope.UNTIL_TERMINAL } };
    const first = await enqueue(keyed);
    await stint.cancelJob({ namespace, jobId: first.jobId });
    await enqueue(keyed);
    const { results } = await stint.retryJobs({ namespace, filter: { queue } });
    expect(results.map(retried)).toEqual(['ALREADY_EXISTS/DUPLICATE_JOB']);
  });
});

describe('a page with a request id', () => {
  it('answers the same again, whatever has happened since, and does nothing', async () => {
    const here = scene();
    const { stint, namespace, queue, job } = here;
    await enqueueMany(here, 3);
    const request = { namespace, filter: { queue, labels: {} }, pageSize: 2, requestId: 'page-1' };
    const first = await stint.cancelJobs(request);
    expect(first.nextPageToken).not.toBe('');
    const retry = await stint.retryJobs({ ...request, requestId: 'page-1' });
    expect(retry.results.map(retried)).toEqual([2, 2]);
    expect(await stint.cancelJobs(request)).toEqual(first);
    expect(await stint.retryJobs({ ...request, requestId: 'page-1' })).toEqual(retry);
    for (const jobId of jobIdsOf(first.results)) expect(await job(jobId)).toMatchObject({ state: JobState.READY, life: 2 });
    const second = await stint.cancelJobs({ ...request, requestId: 'page-2', pageToken: first.nextPageToken });
    expect(second.results).toHaveLength(1);
  });

  it('is the same request, in whatever order its labels are encoded', async () => {
    const { stint, namespace, enqueue } = scene();
    await enqueue({ labels: { a: '1', b: '2' } });
    const first = await stint.cancelJobs({ namespace, filter: { labels: { a: '1', b: '2' } }, requestId: 'one' });
    expect(first.results).toHaveLength(1);
    expect(await stint.cancelJobs({ namespace, filter: { labels: { b: '2', a: '1' } }, requestId: 'one' })).toEqual(first);
  });

  it('is refused where the id was used for another request', async () => {
    const { stint, namespace, queue, enqueue } = scene();
    await enqueue();
    await stint.cancelJobs({ namespace, filter: { queue }, requestId: 'one' });
    for (const other of [{ filter: { queue, type: 'test' } }, { reason: 'another' }, { pageSize: 7 }]) {
      const { violations } = await refusal(stint.cancelJobs({ namespace, filter: { queue }, requestId: 'one', ...other }));
      expect(violations.map(({ field }) => field)).toEqual(['request_id']);
    }
  });
});

describe('a bulk call', () => {
  it('refuses what it cannot read, and a filter without conditions', async () => {
    const { stint, namespace, enqueue, job } = scene();
    const { jobId } = await enqueue();
    const fieldsOf = async (request: Parameters<typeof stint.cancelJobs>[0]) => {
      const [one, other] = [await refusal(stint.cancelJobs(request)), await refusal(stint.retryJobs(request))];
      expect(other.violations).toEqual(one.violations);
      return one.violations.map(({ field }) => field);
    };
    expect(await fieldsOf({ namespace })).toEqual(['filter']);
    expect(await fieldsOf({ namespace, filter: {} })).toEqual(['filter']);
    const filter = { type: 'test' };
    expect(await fieldsOf({ namespace, filter: { queue: 'no spaces' } })).toEqual(['filter.queue']);
    expect(await fieldsOf({ namespace, filter: { type: '?' } })).toEqual(['filter.type']);
    expect(await fieldsOf({ namespace, filter: { states: [JobState.UNSPECIFIED] } })).toEqual(['filter.states[0]']);
    expect(await fieldsOf({ namespace, filter: { labels: { a: '\0' } } })).toEqual(['filter.labels']);
    expect(await fieldsOf({ namespace, filter: { createdFrom: { seconds: -1n, nanos: 0 } } })).toEqual(['filter.created_from']);
    expect(await fieldsOf({ namespace, filter: { createdBefore: { seconds: 0n, nanos: -1 } } })).toEqual(['filter.created_before']);
    expect(await fieldsOf({ namespace, filter, pageSize: 1_001 })).toEqual(['page_size']);
    expect(await fieldsOf({ namespace, filter, pageToken: 'made-up' })).toEqual(['page_token']);
    expect(await fieldsOf({ namespace, filter, reason: 'x'.repeat(1_025) })).toEqual(['reason']);
    expect(await fieldsOf({ namespace, filter, requestId: 'x'.repeat(257) })).toEqual(['request_id']);
    expect((await job(jobId)).state).toBe(JobState.READY);
  });

  it('refuses the page token of another filter or of another RPC', async () => {
    const here = scene();
    const { stint, namespace, queue } = here;
    await enqueueMany(here, 2);
    const { nextPageToken: pageToken } = await stint.cancelJobs({ namespace, filter: { queue }, pageSize: 1, dryRun: true });
    expect(pageToken).not.toBe('');
    const refused = [
      () => stint.cancelJobs({ namespace, filter: { queue, createdFrom: seconds(0) }, pageToken }),
      () => stint.retryJobs({ namespace, filter: { queue }, pageToken }),
    ];
    for (const call of refused) expect((await refusal(call())).violations.map(({ field }) => field)).toEqual(['page_token']);
  });
});
