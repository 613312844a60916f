/** What a `request_id` promises, of every RPC that changes one job from outside. */
import { describe, expect, it } from 'vitest';
import { Disposition } from '../../gen/stint/v1/job.ts';
import { type Scene, useService } from './scene.ts';
import { jobIn, type StateName } from './standing.ts';
import { reasonOf, refusal, uuidV7 } from './stint.ts';

const scene = useService();

/** What every one of the six requests names. */
interface Named {
  readonly namespace: string;
  readonly jobId: string;
  readonly requestId?: string;
}

interface Operation {
  readonly rpc: string;
  /** Where the action is allowed. */
  readonly prepare: (one: Scene) => Promise<string>;
  /** The same request under two contents. */
  readonly ask: (one: Scene, named: Named) => Promise<{ job?: unknown; outcome?: unknown }>;
  readonly askOtherwise: (one: Scene, named: Named) => Promise<unknown>;
  /** Brings the job elsewhere afterwards. */
  readonly moveOn: (one: Scene, named: Named) => Promise<unknown>;
}

const cancel: Operation['moveOn'] = ({ stint }, { namespace, jobId }) => stint.cancelJob({ namespace, jobId, reason: 'moved on' });
const retry: Operation['moveOn'] = ({ stint }, { namespace, jobId }) => stint.retryJob({ namespace, jobId, reason: 'moved on' });

const inState = (state: StateName) => async (one: Scene) => (await jobIn(one, state)).jobId;

const OPERATIONS: readonly Operation[] = [
  {
    rpc: 'CancelJob',
    prepare: async ({ enqueue }) => (await enqueue()).jobId,
    ask: ({ stint }, named) => stint.cancelJob({ ...named, reason: 'a' }),
    askOtherwise: ({ stint }, named) => stint.cancelJob({ ...named, reason: 'b' }),
    moveOn: retry,
  },
  {
    rpc: 'UpdateJob',
    prepare: async ({ enqueue }) => (await enqueue()).jobId,
    ask: ({ stint }, named) => stint.updateJob({ ...named, priority: 1, updateMask: ['priority'] }),
    askOtherwise: ({ stint }, named) => stint.updateJob({ ...named, priority: 2, updateMask: ['priority'] }),
    moveOn: cancel,
  },
  {
    rpc: 'RetryJob',
    prepare: inState('FAILED'),
    ask: ({ stint }, named) => stint.retryJob({ ...named, reason: 'a' }),
    askOtherwise: ({ stint }, named) => stint.retryJob({ ...named, reason: 'b' }),
    moveOn: cancel,
  },
  {
    rpc: 'ResumeJob',
    prepare: inState('SUSPENDED'),
    ask: ({ stint }, named) => stint.resumeJob({ ...named, reason: 'a' }),
    askOtherwise: ({ stint }, named) => stint.resumeJob({ ...named, reason: 'b' }),
    moveOn: cancel,
  },
  {
    rpc: 'RequestAbandon',
    prepare: inState('RUNNING'),
    ask: ({ stint }, named) => stint.requestAbandon({ ...named, reason: 'a' }),
    askOtherwise: ({ stint }, named) => stint.requestAbandon({ ...named, reason: 'b' }),
    moveOn: cancel,
  },
  {
    rpc: 'CompleteExternally',
    prepare: async ({ enqueue }) => (await enqueue({ disposition: Disposition.EXTERNALLY_OWNED })).jobId,
    ask: ({ stint }, named) =>
      stint.completeExternally({ ...named, authority: 'a', completion: { $case: 'cancellation', cancellation: { reason: 'b' } } }),
    askOtherwise: ({ stint }, named) =>
      stint.completeExternally({ ...named, authority: 'a', completion: { $case: 'cancellation', cancellation: { reason: 'c' } } }),
    moveOn: retry,
  },
];

describe.each(OPERATIONS)('a request_id of $rpc', ({ prepare, ask, askOtherwise, moveOn }) => {
  it('makes a repeated request answer the same, though the job has moved on', async () => {
    const one = scene();
    const jobId = await prepare(one);
    const named = { namespace: one.namespace, jobId, requestId: 'r-1' };
    const first = await ask(one, named);
    expect(await ask(one, named)).toEqual(first);
    const unmoved = await one.job(jobId);
    await moveOn(one, named);
    const before = await one.picture(jobId);
    expect(before.job).not.toEqual(unmoved);
    expect(await ask(one, named)).toEqual(first);
    expect(await one.picture(jobId)).toEqual(before);
    await one.isSound();
  });

  it('is refused by name for another content, and for another job', async () => {
    const one = scene();
    const [jobId, other] = [await prepare(one), await prepare(one)];
    const named = { namespace: one.namespace, jobId, requestId: 'r-1' };
    await ask(one, named);
    const before = [await one.picture(jobId), await one.picture(other)];
    for (const call of [() => askOtherwise(one, named), () => ask(one, { ...named, jobId: other })]) {
      const { info, violations } = await refusal(call());
      expect([info?.reason, violations.map(({ field }) => field)]).toEqual(['INVALID_FIELD', ['request_id']]);
    }
    expect([await one.picture(jobId), await one.picture(other)]).toEqual(before);
  });

  it('asked many times at once is done once', async () => {
    const one = scene();
    const jobId = await prepare(one);
    const before = await one.events(jobId);
    const named = { namespace: one.namespace, jobId, requestId: 'r-1' };
    const answers = await Promise.all(Array.from({ length: 10 }, () => ask(one, named)));
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    expect((await one.events(jobId)).length).toBe(before.length + 1);
    await one.isSound();
  });

  it('belongs to its namespace, and a refused request leaves it free', async () => {
    const [one, another] = [scene(), scene()];
    const missing = { namespace: one.namespace, jobId: uuidV7(), requestId: 'r-1' };
    expect(await reasonOf(ask(one, missing))).toBe('NOT_FOUND/JOB_NOT_FOUND');
    const [first, second] = [await prepare(one), await prepare(another)];
    expect(await ask(one, { ...missing, jobId: first })).toMatchObject({ job: { jobId: first } });
    expect(await ask(another, { namespace: another.namespace, jobId: second, requestId: 'r-1' })).toMatchObject({ job: { jobId: second } });
  });

  it('and the other words are held to their bounds', async () => {
    const one = scene();
    const { namespace } = one;
    const fieldsOf = async (call: Promise<unknown>) => (await refusal(call)).violations.map(({ field }) => field);
    expect(await fieldsOf(ask(one, { namespace, jobId: uuidV7(), requestId: 'x'.repeat(257) }))).toEqual(['request_id']);
    expect(await fieldsOf(ask(one, { namespace, jobId: 'job-1' }))).toEqual(['job_id']);
    expect(await fieldsOf(ask(one, { namespace: 'no spaces', jobId: uuidV7() }))).toEqual(['namespace']);
  });

  it('finds no job of another namespace', async () => {
    const one = scene();
    const jobId = await prepare(one);
    const before = await one.picture(jobId);
    const { info } = await refusal(ask(one, { namespace: `${one.namespace}x`, jobId }));
    expect(info).toMatchObject({ reason: 'JOB_NOT_FOUND', metadata: { job_id: jobId } });
    expect(await one.picture(jobId)).toEqual(before);
  });
});

describe('a request_id', () => {
  it('of one RPC says nothing to another', async () => {
    const one = scene();
    const { stint, namespace, eventTypes } = one;
    const { jobId } = await one.enqueue();
    const named = { namespace, jobId, requestId: 'r-1' };
    await stint.updateJob({ ...named, priority: 1, updateMask: ['priority'] });
    await stint.cancelJob(named);
    await stint.retryJob(named);
    await stint.cancelJob({ ...named, requestId: 'r-2' });
    expect(await eventTypes(jobId)).toEqual(['enqueued', 'updated', 'cancelled', 'retried', 'cancelled']);
  });

  it('gives back every byte of the first answer, whatever labels the job has', async () => {
    const { stint, namespace, enqueue } = scene();
    const { jobId } = await enqueue({
      disposition: Disposition.EXTERNALLY_OWNED,
      labels: { $bytes: 'AA==', $bigint: 'x', type: 'Buffer', data: 'AA==' },
      headers: { data: '\\"\u2028' },
    });
    const result = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const request = { namespace, jobId, requestId: 'r-1', authority: 'a', completion: { $case: 'success', success: { result } } as const };
    const first = await stint.completeExternally(request);
    expect(first.job?.result).toEqual(result);
    expect(await stint.completeExternally(request)).toEqual(first);
  });

  it.each([
    ['CancelJob', ({ stint, namespace }: Scene) => stint.cancelJob({ namespace, jobId: uuidV7(), reason: 'x'.repeat(1_025) })],
    ['RetryJob', ({ stint, namespace }: Scene) => stint.retryJob({ namespace, jobId: uuidV7(), reason: 'x'.repeat(1_025) })],
    ['ResumeJob', ({ stint, namespace }: Scene) => stint.resumeJob({ namespace, jobId: uuidV7(), reason: 'x'.repeat(1_025) })],
    ['RequestAbandon', ({ stint, namespace }: Scene) => stint.requestAbandon({ namespace, jobId: uuidV7(), reason: 'x'.repeat(1_025) })],
  ])('leaves a reason within its bounds: %s', async (_rpc, ask) => {
    const { violations } = await refusal(ask(scene()));
    expect(violations.map(({ field }) => field)).toEqual(['reason']);
  });
});
