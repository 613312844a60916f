import { describe, expect, it } from 'vitest';
import { Disposition, JobState } from '../../gen/stint/v1/job.ts';
import { CancelOutcome, type CompleteExternallyRequest } from '../../gen/stint/v1/job_service.ts';
import { FailureKind } from '../../gen/stint/v1/retry.ts';
import { ClaimDecision } from '../../gen/stint/v1/worker_service.ts';
import { type Scene, useService } from './scene.ts';
import { fromNow, refusal } from './stint.ts';

const scene = useService();

const external = { disposition: Disposition.EXTERNALLY_OWNED };
const witness = { authority: 'the bank', evidence: Buffer.from('{"receipt":7}'), evidenceContentType: 'application/json' };
const evidence = { authority: 'the bank', data: witness.evidence, contentType: 'application/json' };

type Completion = NonNullable<CompleteExternallyRequest['completion']>;

const success: Completion = { $case: 'success', success: { result: Buffer.from('paid'), contentType: 'text/plain' } };
const failure: Completion = {
  $case: 'failure',
  failure: { failure: { code: 'refused', message: 'no funds', details: 'account 7', kind: FailureKind.TERMINAL } },
};
const cancellation: Completion = { $case: 'cancellation', cancellation: { reason: 'called back' } };

const ends: [string, Completion, object, object][] = [
  [
    'SUCCEEDED',
    success,
    { state: JobState.SUCCEEDED, result: Buffer.from('paid'), resultContentType: 'text/plain' },
    { type: 'succeeded', detail: { $case: 'succeeded', succeeded: { evidence } } },
  ],
  [
    'FAILED',
    failure,
    { state: JobState.FAILED, failure: { code: 'refused', message: 'no funds', details: 'account 7', kind: FailureKind.TERMINAL } },
    { type: 'failed', detail: { $case: 'failed', failed: { failure: { code: 'refused' }, deadLettered: true, evidence } } },
  ],
  [
    'CANCELLED',
    cancellation,
    { state: JobState.CANCELLED, cancelReason: 'called back' },
    { type: 'cancelled', detail: { $case: 'cancelled', cancelled: { reason: 'called back', evidence } } },
  ],
];

/** All who may be told of the same job by name. */
const complete = ({ stint, namespace }: Scene, jobId: string, completion: Completion, said: object = witness) =>
  stint.completeExternally({ namespace, jobId, completion, ...said });

describe('an externally owned job', () => {
  it('is READY and never claimed', async () => {
    const { enqueue, claim, stint, namespace, queue, isSound } = scene();
    expect(await enqueue(external)).toMatchObject({ state: JobState.READY, disposition: Disposition.EXTERNALLY_OWNED });
    expect(await claim({ maxJobs: 10 })).toEqual({ jobs: [], decision: ClaimDecision.EMPTY });
    expect((await stint.peekQueue({ namespace, queue })).jobs).toEqual([]);
    await isSound();
  });

  it('becomes READY when it is due, and is not claimed then either', async () => {
    const { stint, namespace, enqueue, claim, later, job, eventTypes, isSound } = scene();
    const { jobId } = await enqueue({ ...external, runAt: fromNow(0.1) });
    await later(0.3);
    await stint.runUpkeep({});
    expect((await job(jobId)).state).toBe(JobState.READY);
    expect(await eventTypes(jobId)).toEqual(['enqueued', 'ready']);
    expect((await claim()).jobs).toEqual([]);
    expect((await stint.listJobs({ namespace, states: [JobState.READY] })).jobs.map((one) => one.jobId)).toEqual([jobId]);
    await isSound();
  });

  it.each(ends)('is %s as its owner says, with the evidence on its last event', async (_state, completion, ended, last) => {
    const one = scene();
    const { enqueue, job, events, terminal, isSound } = one;
    const { jobId } = await enqueue(external);
    const waiting = terminal(jobId);
    const answer = await complete(one, jobId, completion);
    expect(answer.job).toMatchObject({ ...ended, attempt: 0, fence: 0n, life: 1 });
    expect(await job(jobId)).toEqual(answer.job);
    expect(await waiting).toEqual(answer.job);
    expect((await events(jobId)).at(-1)).toMatchObject(last);
    await isSound();
  });

  it.each(ends)('may be %s before it is due', async (_state, completion, ended) => {
    const one = scene();
    const { jobId } = await one.enqueue({ ...external, runAt: fromNow(3_600) });
    expect((await complete(one, jobId, completion)).job).toMatchObject(ended);
    await one.isSound();
  });

  it.each(ends)('that is %s is answered the same when told again, and any other end is refused', async (state, completion) => {
    const one = scene();
    const { enqueue, picture, isSound } = one;
    const { jobId } = await enqueue(external);
    const first = await complete(one, jobId, completion);
    const before = await picture(jobId);
    expect(await complete(one, jobId, completion)).toEqual(first);
    const others = ends
      .filter(([name]) => name !== state)
      .map(
        ([, other]) =>
          () =>
            complete(one, jobId, other),
      );
    const otherWords: Completion =
      completion.$case === 'success'
        ? { $case: 'success', success: { result: Buffer.from('lent'), contentType: 'text/plain' } }
        : completion.$case === 'failure'
          ? { $case: 'failure', failure: { failure: { code: 'lost', message: '', details: '', kind: FailureKind.TERMINAL } } }
          : { $case: 'cancellation', cancellation: { reason: 'thought better of' } };
    others.push(
      () => complete(one, jobId, otherWords),
      () => complete(one, jobId, completion, { ...witness, authority: 'somebody else' }),
    );
    for (const call of others) {
      const { info } = await refusal(call());
      expect(info).toMatchObject({ reason: 'INVALID_TRANSITION', metadata: { state, action: 'complete_externally' } });
    }
    expect(await picture(jobId)).toEqual(before);
    await isSound();
  });

  it('may be cancelled, updated and retried like any other', async () => {
    const one = scene();
    const { stint, namespace, enqueue, claim, eventTypes, isSound } = one;
    const { jobId } = await enqueue(external);
    const run = { namespace, jobId, updateMask: ['run_at'] };
    expect((await stint.updateJob({ ...run, runAt: fromNow(60) })).job?.state).toBe(JobState.SCHEDULED);
    expect((await stint.updateJob(run)).job?.state).toBe(JobState.READY);
    expect((await stint.updateJob({ namespace, jobId, priority: 4, updateMask: ['priority'] })).job).toMatchObject({ priority: 4 });
    expect((await stint.cancelJob({ namespace, jobId })).outcome).toBe(CancelOutcome.CANCELLED);
    expect((await stint.retryJob({ namespace, jobId })).job).toMatchObject({ state: JobState.READY, life: 2, priority: 4 });
    expect((await claim()).jobs).toEqual([]);
    expect((await complete(one, jobId, success)).job).toMatchObject({ state: JobState.SUCCEEDED, life: 2 });
    expect(await eventTypes(jobId)).toEqual(['enqueued', 'updated', 'updated', 'updated', 'cancelled', 'retried', 'succeeded']);
    await isSound();
  });

  it('is not the same as one of another disposition', async () => {
    const { enqueue } = scene();
    await enqueue({ ...external, idempotencyKey: 'k' });
    const { info } = await refusal(enqueue({ idempotencyKey: 'k' }));
    expect(info?.reason).toBe('DUPLICATE_JOB');
  });
});

describe('CompleteExternally', () => {
  it.each([Disposition.RERUNNABLE, Disposition.OWNER_BOUND])('refuses a job of disposition %i', async (disposition) => {
    const one = scene();
    const { jobId } = await one.enqueue({ disposition });
    const before = await one.picture(jobId);
    const { info } = await refusal(complete(one, jobId, success));
    expect(info).toMatchObject({ reason: 'INVALID_TRANSITION', metadata: { state: 'READY', action: 'complete_externally' } });
    expect(await one.picture(jobId)).toEqual(before);
  });

  it.each([
    ['completion', {}],
    ['authority', { completion: success, authority: '' }],
    ['authority', { completion: success, authority: 'x'.repeat(257) }],
    ['evidence', { completion: success, evidence: Buffer.alloc(65_537) }],
    ['evidence_content_type', { completion: success, evidenceContentType: 'x'.repeat(257) }],
    ['success.result', { completion: { $case: 'success', success: { result: Buffer.alloc(1_048_577) } } } as const],
    ['failure.failure.code', { completion: { $case: 'failure', failure: { failure: { code: 'stint.own' } } } } as const],
    ['cancellation.reason', { completion: { $case: 'cancellation', cancellation: { reason: 'x'.repeat(1_025) } } } as const],
  ])('refuses a bad %s by name (%#)', async (field, said) => {
    const { stint, namespace, enqueue, job } = scene();
    const { jobId } = await enqueue(external);
    const { violations } = await refusal(stint.completeExternally({ namespace, jobId, ...witness, ...said }));
    expect(violations.map((one) => one.field)).toEqual([field]);
    expect((await job(jobId)).state).toBe(JobState.READY);
  });
});
