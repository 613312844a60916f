import { describe, expect, it } from 'vitest';
import { AttemptOutcome, Disposition, JobState } from '../../gen/stint/v1/job.ts';
import { ListDeadLettersResponse } from '../../gen/stint/v1/queue_service.ts';
import { FailureKind } from '../../gen/stint/v1/retry.ts';
import { failedJob, letters, type ListRequest, onlyOne, terminal } from './failed-jobs.ts';
import { type Scene, useService } from './scene.ts';
import { type Held, held, refusal, seconds, uuidV7 } from './stint.ts';

const scene = useService();

describe('a life that fails leaves exactly one dead letter', () => {
  it('when its attempts are spent, and Fail tells which', async () => {
    const one = scene();
    const { jobId } = await one.enqueue({ retry: { maxAttempts: 3, initialBackoff: seconds(0), maxBackoff: seconds(0) } });
    const consequences = [];
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      const { leaseToken } = await one.claimOne();
      consequences.push((await one.stint.fail({ leaseToken, failure: { code: `no-${attempt}` } })).consequence);
    }
    expect(consequences.map((consequence) => consequence?.$case)).toEqual(['retryScheduled', 'retryScheduled', 'deadLettered']);
    const letter = onlyOne(await letters(one));
    expect(consequences[2]).toEqual({ $case: 'deadLettered', deadLettered: { deadLetterId: letter.deadLetterId } });
    expect(letter).toMatchObject({ jobId, life: 1, failure: { code: 'no-3' } });
    expect(letter.attempts.map(({ attempt, failure }) => `${attempt} ${failure?.code}`)).toEqual(['1 no-1', '2 no-2', '3 no-3']);
  });

  it('when the same failure is told again', async () => {
    const one = scene();
    const { leaseToken } = await one.enqueueAndClaim();
    const [first, second] = await Promise.all([1, 2].map(() => one.stint.fail({ leaseToken, failure: terminal() })));
    expect(second?.consequence).toEqual(first?.consequence);
    onlyOne(await letters(one));
  });

  const failures: readonly [string, string, (one: Scene) => Promise<unknown>][] = [
    ['its worker says that it is terminal', 'poison', (one) => failedJob(one)],
    [
      'its policy names the code',
      'hopeless',
      async (one) => {
        const { leaseToken } = await one.enqueueAndClaim({ retry: { nonRetryableCodes: ['hopeless'] } });
        await one.stint.fail({ leaseToken, failure: { code: 'hopeless' } });
      },
    ],
    [
      'nobody claims it in time',
      'stint.timeout.schedule_to_start',
      (one) => one.enqueue({ timeouts: { scheduleToStart: seconds(0.05) } }).then(({ jobId }) => one.terminal(jobId)),
    ],
    [
      'its life takes too long while it waits',
      'stint.timeout.schedule_to_close',
      (one) => one.enqueue({ timeouts: { scheduleToClose: seconds(0.05) } }).then(({ jobId }) => one.terminal(jobId)),
    ],
    [
      "its life takes too long in its holder's hands",
      'stint.timeout.schedule_to_close',
      async (one) => {
        const { jobId } = await one.enqueueAndClaim({ timeouts: { scheduleToClose: seconds(1) } });
        await one.terminal(jobId);
      },
    ],
    [
      'its last try takes too long',
      'stint.timeout.start_to_close',
      async (one) => {
        const { jobId } = await one.enqueueAndClaim({ timeouts: { startToClose: seconds(0.05) }, retry: { maxAttempts: 1 } });
        await one.terminal(jobId);
      },
    ],
    [
      'its external owner says so',
      'reactor',
      async (one) => {
        const { jobId } = await one.enqueue({ disposition: Disposition.EXTERNALLY_OWNED });
        const completion = { $case: 'failure', failure: { failure: { code: 'reactor', message: 'it melted' } } } as const;
        await one.stint.completeExternally({ namespace: one.namespace, jobId, authority: 'plant', completion });
      },
    ],
  ];
  it.each(failures)('when %s: %s', async (_why, code, fail) => {
    const one = scene();
    await fail(one);
    const letter = onlyOne(await letters(one));
    expect(letter.failure?.code).toBe(code);
    const { jobId } = letter;
    const end = (await one.events(jobId)).at(-1);
    expect(end?.detail).toMatchObject({ $case: 'failed', failed: { failure: { code } } });
    expect(letter.deadLetteredAt).toEqual(end?.occurredAt);
    expect(await one.job(jobId)).toMatchObject({ state: JobState.FAILED, life: letter.life });
    await one.isSound();
  });

  it('and no other end leaves one', async () => {
    const one = scene();
    const { stint, namespace } = one;
    const { leaseToken } = await one.enqueueAndClaim();
    await stint.ack({ leaseToken });
    const { jobId } = await one.enqueue();
    await stint.cancelJob({ namespace, jobId });
    const retried = await one.enqueueAndClaim();
    await stint.fail({ leaseToken: retried.leaseToken, retryAfter: seconds(60) });
    expect(await letters(one)).toEqual([]);
  });
});

describe('a dead letter', () => {
  it('tells the job as it was handed in, and how its life went', async () => {
    const one = scene();
    const input = {
      type: 'send',
      payload: Buffer.from([0, 1, 255]),
      contentType: 'application/x-thing',
      headers: { traceparent: 'x', 'quo"te': '\\' },
      labels: { team: 'räuber' },
    };
    const first = await one.enqueueAndClaim(input, { workerId: 'w1' });
    await one.stint.release({ leaseToken: first.leaseToken });
    const second = await one.claimOne({ workerId: 'w2' });
    await one.stint.fail({ leaseToken: second.leaseToken, failure: { ...terminal(), message: 'because', details: '{"why": "so"}' } });
    const letter = onlyOne(await letters(one));
    expect(letter).toMatchObject({ ...input, namespace: one.namespace, queue: one.queue, jobId: first.jobId, payloadTruncated: false });
    expect(letter.replayedAt).toBeUndefined();
    expect(letter.failure).toMatchObject({ code: 'poison', message: 'because', details: '{"why": "so"}', kind: FailureKind.TERMINAL });
    expect(letter.attempts.map(({ workerId, outcome, life }) => [workerId, outcome, life])).toEqual([
      ['w1', AttemptOutcome.RELEASED, 1],
      ['w2', AttemptOutcome.FAILED, 1],
    ]);
  });

  it('keeps the first 64 KiB of the payload', async () => {
    const one = scene();
    const payload = Buffer.alloc(65_537, 'abcdefg');
    await failedJob(one, { payload });
    await failedJob(one, { payload: payload.subarray(1) });
    const [cut, whole] = await letters(one);
    expect(cut?.payloadTruncated).toBe(true);
    expect(cut?.payload.equals(payload.subarray(0, 65_536))).toBe(true);
    expect(whole?.payloadTruncated).toBe(false);
    expect(whole?.payload.equals(payload.subarray(1))).toBe(true);
  });

  it('tells the last tries of its own life only, as many as fit', async () => {
    const one = scene();
    const details = 'x'.repeat(64 * 1024);
    await one.enqueue({ retry: { maxAttempts: 25, initialBackoff: seconds(0), maxBackoff: seconds(0) } });
    for (let attempt = 1; attempt <= 25; attempt += 1) {
      const { leaseToken } = await one.claimOne();
      await one.stint.fail({ leaseToken, failure: { code: `no-${attempt}`, details } });
    }
    const { deadLetterId, attempts, jobId } = onlyOne(await letters(one));
    expect(attempts.length).toBeGreaterThan(5);
    expect(attempts.length).toBeLessThan(20);
    expect(attempts.map(({ attempt }) => attempt)).toEqual(attempts.map((_, index) => 26 - attempts.length + index));
    await one.stint.replayDeadLetters({ namespace: one.namespace, deadLetterIds: [deadLetterId] });
    const { leaseToken } = await one.claimOne();
    await one.stint.fail({ leaseToken, failure: terminal() });
    const [, second] = await letters(one, { jobId, includeReplayed: true });
    expect(second?.attempts).toMatchObject([{ attempt: 1, life: 2, failure: { code: 'poison' } }]);
  });
});

describe('ListDeadLetters', () => {
  it('lists in the order in which they happened, of one queue or of all', async () => {
    const one = scene();
    const ids: string[] = [];
    for (const queue of ['a', 'b', 'b', 'a', 'c', 'a']) ids.push((await failedJob(one, { queue })).deadLetterId);
    const idsOf = async (request: ListRequest) => (await letters(one, request)).map(({ deadLetterId }) => deadLetterId);
    for (const pageSize of [0, 1, 2, 6, 1_000]) {
      expect(await idsOf({ pageSize })).toEqual(ids);
      expect(await idsOf({ pageSize, queue: 'a' })).toEqual([ids[0], ids[3], ids[5]]);
    }
    expect(await idsOf({ queue: 'c' })).toEqual([ids[4]]);
  });

  it('takes each filter, and all of them together', async () => {
    const one = scene();
    const first = await failedJob(one, { type: 'x' }, 'c1');
    const second = await failedJob(one, { type: 'x' }, 'c2');
    const third = await failedJob(one, { type: 'y', queue: 'other' }, 'c1');
    const jobsOf = async (request: ListRequest) => (await letters(one, request)).map(({ jobId }) => jobId);
    expect(await jobsOf({ type: 'x' })).toEqual([first.jobId, second.jobId]);
    expect(await jobsOf({ failureCode: 'c1' })).toEqual([first.jobId, third.jobId]);
    expect(await jobsOf({ type: 'x', failureCode: 'c1' })).toEqual([first.jobId]);
    expect(await jobsOf({ jobId: second.jobId })).toEqual([second.jobId]);
    expect(await jobsOf({ jobId: second.jobId, queue: one.queue, type: 'x', failureCode: 'c2' })).toEqual([second.jobId]);
    expect(await jobsOf({ jobId: third.jobId, queue: one.queue })).toEqual([]);
    expect(await jobsOf({ jobId: third.jobId, failureCode: 'c2' })).toEqual([]);
    expect(await jobsOf({ jobId: uuidV7() })).toEqual([]);
  });

  it('knows nothing of another namespace', async () => {
    const [one, stranger] = [scene(), scene()];
    const { jobId } = await failedJob(one);
    await stranger.enqueue();
    expect(await letters(stranger)).toEqual([]);
    expect(await letters(stranger, { queue: one.queue })).toEqual([]);
    expect(await letters(stranger, { jobId })).toEqual([]);
  });

  it('does not find a queue that is not there', async () => {
    const { stint, namespace } = scene();
    const { info } = await refusal(stint.listDeadLetters({ namespace, queue: 'absent' }));
    expect(info).toMatchObject({ reason: 'QUEUE_NOT_FOUND', metadata: { namespace, queue: 'absent' } });
  });

  it('tells each record once that was there from the beginning, whatever comes meanwhile', async () => {
    const one = scene();
    const ids: string[] = [];
    for (let count = 0; count < 12; count += 1) ids.push((await failedJob(one)).deadLetterId);
    const { stint, namespace, queue } = one;
    const seen: string[] = [];
    for (let pageToken = '', page = 0; page === 0 || pageToken !== ''; page += 1) {
      const answer = await stint.listDeadLetters({ namespace, queue, pageSize: 3, pageToken });
      seen.push(...answer.deadLetters.map(({ deadLetterId }) => deadLetterId));
      pageToken = answer.nextPageToken;
      if (page < 4) await failedJob(one);
      await stint.replayDeadLetters({ namespace, deadLetterIds: seen.slice(0, 1) });
    }
    expect(seen.slice(0, 12)).toEqual(ids);
    expect(new Set(seen).size).toBe(seen.length);
  });

  it('stops a page before it is too large for a client', async () => {
    const one = scene();
    const { stint, namespace, queue } = one;
    const jobs = Array.from({ length: 60 }, () => ({ queue, payload: Buffer.alloc(65_536, 1) }));
    await stint.enqueueBatch({ namespace, jobs });
    const claimed: Held[] = [];
    while (claimed.length < jobs.length) claimed.push(...(await one.claim({ maxJobs: 60 })).jobs.map(held));
    await stint.settle({
      settlements: claimed.map(({ leaseToken }) => ({ leaseToken, action: { $case: 'fail', fail: { failure: terminal() } } })),
    });
    const first = await stint.listDeadLetters({ namespace, queue, pageSize: 1_000 });
    expect(first.nextPageToken).not.toBe('');
    const size = ListDeadLettersResponse.encode(first).finish().byteLength;
    expect(size).toBeLessThan(3 * 1024 * 1024);
    expect(size).toBeGreaterThan(2.5 * 1024 * 1024);
    expect(await letters(one, { pageSize: 1_000 })).toHaveLength(60);
  });
});

describe('a field that makes no sense is named', () => {
  it.each<[string, (one: Scene) => Promise<unknown>]>([
    ['namespace', ({ stint }) => stint.listDeadLetters({ namespace: 'no spaces' })],
    ['queue', ({ stint }) => stint.listDeadLetters({ queue: 'no spaces' })],
    ['type', ({ stint }) => stint.listDeadLetters({ type: 'a/b' })],
    ['failure_code', ({ stint }) => stint.listDeadLetters({ failureCode: 'a/b' })],
    ['job_id', ({ stint }) => stint.listDeadLetters({ jobId: 'x' })],
    ['page_size', ({ stint }) => stint.listDeadLetters({ pageSize: 1_001 })],
    ['page_token', ({ stint }) => stint.listDeadLetters({ pageToken: 'made-up' })],
  ])('%s', async (field, call) => {
    const { info, violations } = await refusal(call(scene()));
    expect(info?.reason).toBe('INVALID_FIELD');
    expect(violations.map((violation) => violation.field)).toEqual([field]);
  });
});
