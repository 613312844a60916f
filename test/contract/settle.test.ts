import { describe, expect, it } from 'vitest';
import { JobState } from '../../gen/stint/v1/job.ts';
import { FailureKind } from '../../gen/stint/v1/retry.ts';
import { SettlementOutcome, type SettleResult, StartMode } from '../../gen/stint/v1/worker_service.ts';
import { useService } from './scene.ts';
import { fromNow, itemReason, reasonOf, refusal, seconds } from './stint.ts';

const scene = useService();
const soon = { initialBackoff: { seconds: 0n, nanos: 1_000_000 }, jitter: false };
const LOST = 'FAILED_PRECONDITION/LEASE_LOST';

describe('Ack', () => {
  it('ends a job with its result', async () => {
    const { stint, enqueueAndClaim, job, eventTypes, isSound } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    const { outcome } = await stint.ack({ leaseToken, result: Buffer.from([0, 1]), contentType: 'a/b' });
    expect(outcome).toBe(SettlementOutcome.APPLIED);
    const ended = await job(jobId);
    expect(ended).toMatchObject({ state: JobState.SUCCEEDED, result: Buffer.from([0, 1]), resultContentType: 'a/b', lastSequence: 4n });
    expect(ended.finishedAt).toBeDefined();
    expect(await eventTypes(jobId)).toEqual(['enqueued', 'claimed', 'started', 'succeeded']);
    await isSound();
  });

  it('told again is answered as before, and keeps the first result', async () => {
    const { stint, enqueueAndClaim, job } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    await stint.ack({ leaseToken, result: Buffer.from('first') });
    expect((await stint.ack({ leaseToken, result: Buffer.from('second') })).outcome).toBe(SettlementOutcome.ALREADY_APPLIED);
    expect((await job(jobId)).result).toEqual(Buffer.from('first'));
  });

  it('takes effect once of many at once', async () => {
    const { stint, enqueueAndClaim, eventTypes } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    const answers = await Promise.all(Array.from({ length: 20 }, () => stint.ack({ leaseToken })));
    expect(answers.filter(({ outcome }) => outcome === SettlementOutcome.APPLIED)).toHaveLength(1);
    expect((await eventTypes(jobId)).filter((type) => type === 'succeeded')).toHaveLength(1);
  });

  it('of a job that was not started is refused', async () => {
    const { stint, enqueueAndClaim, job } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim({}, { start: StartMode.EXPLICIT });
    const { info } = await refusal(stint.ack({ leaseToken }));
    expect(info).toMatchObject({ reason: 'INVALID_TRANSITION', metadata: { state: 'LEASED', action: 'ack' } });
    expect((await job(jobId)).state).toBe(JobState.LEASED);
  });

  it.each([[''], ['made-up'], ['A'.repeat(58)]])('with the token "%s" is lost', async (leaseToken) => {
    expect(await reasonOf(scene().stint.ack({ leaseToken }))).toBe(LOST);
  });

  it('with the token of an attempt that another has followed changes nothing', async () => {
    const { stint, enqueueAndClaim, claimOne, job } = scene();
    const stale = await enqueueAndClaim({ retry: soon });
    await stint.fail({ leaseToken: stale.leaseToken });
    const live = await claimOne();
    expect(live.claimed.lease?.fence).toBeGreaterThan(stale.claimed.lease?.fence ?? 0n);
    expect(await reasonOf(stint.ack({ leaseToken: stale.leaseToken }))).toBe(LOST);
    expect((await job(stale.jobId)).state).toBe(JobState.RUNNING);
    expect((await stint.ack({ leaseToken: live.leaseToken })).outcome).toBe(SettlementOutcome.APPLIED);
  });
});

describe('Fail', () => {
  const failure = { code: 'smtp.refused', message: 'no', details: 'stack → trace' };

  it('schedules another attempt, which spends the next number', async () => {
    const { stint, enqueueAndClaim, claimOne, eventTypes, isSound } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim({ retry: soon });
    const answer = await stint.fail({ leaseToken, failure });
    expect(answer).toMatchObject({
      outcome: SettlementOutcome.APPLIED,
      job: { state: JobState.RETRY_WAIT, failure },
      consequence: { $case: 'retryScheduled', retryScheduled: { nextAttempt: 2 } },
    });
    expect((await claimOne()).job).toMatchObject({ jobId, attempt: 2 });
    expect(await eventTypes(jobId)).toEqual(['enqueued', 'claimed', 'started', 'retry_scheduled', 'ready', 'claimed', 'started']);
    await isSound();
  });

  it('waits by the policy: initial · multiplier^(n−1), at most the longest', async () => {
    const { stint, enqueueAndClaim, claimOne } = scene();
    const retry = { initialBackoff: seconds(0.1), multiplier: 3, maxBackoff: seconds(0.25), jitter: false };
    const first = await enqueueAndClaim({ retry });
    expect(await delayOf(first.leaseToken)).toBeCloseTo(0.1, 5);
    const second = await claimOne();
    expect(await delayOf(second.leaseToken)).toBeCloseTo(0.25, 5);

    /** Seconds from the failure's event to the next attempt, by the database's clock. */
    async function delayOf(leaseToken: string): Promise<number> {
      const { job, consequence } = await stint.fail({ leaseToken });
      if (job === undefined || consequence?.$case !== 'retryScheduled') return expect.unreachable();
      const { events } = await stint.listEvents({ namespace: job.namespace, jobId: job.jobId, types: ['retry_scheduled'] });
      return micros(consequence.retryScheduled.retryAt) - micros(events.at(-1)?.occurredAt);
    }

    function micros(time: { seconds: bigint; nanos: number } | undefined): number {
      return time === undefined ? Number.NaN : Number(time.seconds % 1_000_000n) + time.nanos / 1e9;
    }
  });

  it('waits as long as the worker says instead', async () => {
    const { stint, enqueueAndClaim, claim } = scene();
    const { leaseToken } = await enqueueAndClaim({ retry: soon });
    const { job } = await stint.fail({ leaseToken, retryAfter: seconds(3_600) });
    expect(Number(job?.runAt?.seconds)).toBeGreaterThan(Number(fromNow(3_000).seconds));
    expect((await claim({ wait: seconds(0.3) })).jobs).toEqual([]);
  });

  it.each([
    ['a terminal failure', {}, { ...failure, kind: FailureKind.TERMINAL }],
    ['a code that is not to be retried', { nonRetryableCodes: ['other', failure.code] }, failure],
    ['the last attempt', { maxAttempts: 1 }, failure],
  ])('of %s ends the job', async (_name, retry, failed) => {
    const { stint, enqueueAndClaim, terminal, eventTypes, isSound } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim({ retry });
    const answer = await stint.fail({ leaseToken, failure: failed });
    expect(answer).toMatchObject({ job: { state: JobState.FAILED }, consequence: { $case: 'deadLettered' } });
    expect(await terminal(jobId)).toMatchObject({ state: JobState.FAILED, failure: { code: failure.code, details: failure.details } });
    expect((await eventTypes(jobId)).at(-1)).toBe('failed');
    await isSound();
  });

  it('told again is answered with the first outcome', async () => {
    const { stint, enqueueAndClaim } = scene();
    const { leaseToken } = await enqueueAndClaim();
    const first = await stint.fail({ leaseToken, failure });
    const second = await stint.fail({ leaseToken, failure: { code: 'other', kind: FailureKind.TERMINAL } });
    expect(second).toMatchObject({ outcome: SettlementOutcome.ALREADY_APPLIED, consequence: first.consequence });
  });

  it('after an ack is lost, and an ack after a failure', async () => {
    const { stint, enqueueAndClaim } = scene();
    const acked = await enqueueAndClaim();
    await stint.ack({ leaseToken: acked.leaseToken });
    expect(await reasonOf(stint.fail({ leaseToken: acked.leaseToken }))).toBe(LOST);
    const failed = await enqueueAndClaim();
    await stint.fail({ leaseToken: failed.leaseToken });
    expect(await reasonOf(stint.ack({ leaseToken: failed.leaseToken }))).toBe(LOST);
  });
});

describe('Release', () => {
  it('gives a job back to its old place, with its attempt', async () => {
    const { stint, enqueue, enqueueAndClaim, claim, eventTypes, isSound } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    const younger = await enqueue();
    expect(await stint.release({ leaseToken })).toMatchObject({
      outcome: SettlementOutcome.APPLIED,
      job: { state: JobState.READY, attempt: 0 },
    });
    const { jobs } = await claim({ maxJobs: 2 });
    expect(jobs.map(({ job }) => [job?.jobId, job?.attempt])).toEqual([
      [jobId, 1],
      [younger.jobId, 1],
    ]);
    expect(await eventTypes(jobId)).toEqual(['enqueued', 'claimed', 'started', 'released', 'claimed', 'started']);
    await isSound();
  });

  it('with a delay gives it back later, behind the others', async () => {
    const { stint, enqueueAndClaim, enqueue, claimOne } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    expect((await stint.release({ leaseToken, delay: seconds(0.3) })).job?.state).toBe(JobState.SCHEDULED);
    const other = await enqueue();
    expect((await claimOne()).jobId).toBe(other.jobId);
    expect(await claimOne()).toMatchObject({ jobId, job: { attempt: 1 } });
  });

  it('with a stale token is no error: there is nothing to give back', async () => {
    const { stint, enqueueAndClaim, job } = scene();
    const { jobId, leaseToken } = await enqueueAndClaim();
    await stint.ack({ leaseToken });
    expect((await stint.release({ leaseToken })).outcome).toBe(SettlementOutcome.NOT_HELD);
    expect((await stint.release({ leaseToken: 'made-up' })).outcome).toBe(SettlementOutcome.NOT_HELD);
    expect((await job(jobId)).state).toBe(JobState.SUCCEEDED);
  });

  it('told again is answered as before', async () => {
    const { stint, enqueueAndClaim } = scene();
    const { leaseToken } = await enqueueAndClaim();
    await stint.release({ leaseToken });
    expect((await stint.release({ leaseToken })).outcome).toBe(SettlementOutcome.ALREADY_APPLIED);
  });
});

describe('Settle', () => {
  it('ends each lease in its own way, and refuses a bad one alone', async () => {
    const { stint, namespace, queue, claim, job, isSound } = scene();
    await stint.enqueueBatch({ namespace, jobs: Array.from({ length: 4 }, () => ({ queue })) });
    const { jobs } = await claim({ maxJobs: 4 });
    const [a = '', b = '', c = '', d = ''] = jobs.map(({ lease }) => lease?.leaseToken ?? '');
    const { results } = await stint.settle({
      settlements: [
        { leaseToken: a, action: { $case: 'ack', ack: { result: Buffer.from('r') } } },
        { leaseToken: 'made-up', action: { $case: 'ack', ack: {} } },
        { leaseToken: b, action: { $case: 'fail', fail: { failure: { kind: FailureKind.TERMINAL } } } },
        { leaseToken: c, action: { $case: 'release', release: {} } },
        { leaseToken: d },
        { leaseToken: 'made-up', action: { $case: 'release', release: {} } },
      ],
    });
    expect(results.map(tell)).toEqual([
      'ack APPLIED',
      LOST,
      'fail APPLIED',
      'release APPLIED',
      'INVALID_ARGUMENT/INVALID_FIELD',
      'release NOT_HELD',
    ]);
    const states = await Promise.all(jobs.map(({ job: claimed }) => job(claimed?.jobId ?? '').then(({ state }) => state)));
    expect(states).toEqual([JobState.SUCCEEDED, JobState.FAILED, JobState.READY, JobState.RUNNING]);
    await isSound();
  });

  const outcomes = new Map<number, string>(Object.entries(SettlementOutcome).map(([name, value]) => [value, name]));

  function tell({ result }: SettleResult): string {
    switch (result?.$case) {
      case 'error':
        return itemReason(result.error);
      case 'ack':
        return `ack ${outcomes.get(result.ack.outcome)}`;
      case 'fail':
        return `fail ${outcomes.get(result.fail.outcome)}`;
      case 'release':
        return `release ${outcomes.get(result.release.outcome)}`;
      default:
        return 'nothing';
    }
  }
});
