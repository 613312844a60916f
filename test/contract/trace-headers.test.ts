/** The trace of a call that enqueues goes to the worker with the job. */
import { Metadata } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { EnqueueBatchRequest, type EnqueueBatchResponse, EnqueueRequest, type EnqueueResponse } from '../../gen/stint/v1/job_service.ts';
import { type Scene, useService } from './scene.ts';
import { uuidV7 } from './stint.ts';

const scene = useService();

const TRACE = `00-${'a1'.repeat(16)}-${'b2'.repeat(8)}-01`;
const OTHER = `00-${'c3'.repeat(16)}-${'d4'.repeat(8)}-00`;

type Spec = Parameters<typeof EnqueueRequest.fromPartial>[0]['job'];

const metadataOf = (said: Readonly<Record<string, string>>) => {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(said)) metadata.set(name, value);
  return metadata;
};

function enqueue({ stint, namespace, queue }: Scene, said: Readonly<Record<string, string>>, spec: Spec = {}): Promise<EnqueueResponse> {
  const request = EnqueueRequest.fromPartial({ namespace, job: { queue, ...spec } });
  return new Promise((resolve, reject) => {
    stint.raw.jobs.enqueue(request, metadataOf(said), (error, answer) => (error === null ? resolve(answer) : reject(error)));
  });
}

function enqueueBatch({ stint, namespace, queue }: Scene, said: Readonly<Record<string, string>>, specs: Spec[]) {
  const request = EnqueueBatchRequest.fromPartial({ namespace, jobs: specs.map((spec) => ({ queue, ...spec })) });
  return new Promise<EnqueueBatchResponse>((resolve, reject) => {
    stint.raw.jobs.enqueueBatch(request, metadataOf(said), (error, answer) => (error === null ? resolve(answer) : reject(error)));
  });
}

/** What the worker of the one job gets. */
const headersOf = async (one: Scene) => (await one.claimOne()).job.headers;

// What runs here is not traced itself: where the service is, its own span stands in between.
describe('the trace of a call', () => {
  it('is handed to the worker with the job, beside what its producer wrote', async () => {
    const one = scene();
    const { job } = await enqueue(one, { traceparent: TRACE, tracestate: 'vendor=7' }, { headers: { tenant: 'a' } });
    const headers = { tenant: 'a', traceparent: TRACE, tracestate: 'vendor=7' };
    expect(job?.headers).toEqual(headers);
    expect(await headersOf(one)).toEqual(headers);
  });

  it('is handed over with each job of a batch that names none', async () => {
    const one = scene();
    await enqueueBatch(one, { traceparent: TRACE }, [{}, { headers: { traceparent: OTHER } }]);
    expect(await headersOf(one)).toEqual({ traceparent: TRACE });
    expect(await headersOf(one)).toEqual({ traceparent: OTHER });
  });

  it.each([
    ['traceparent', OTHER],
    ['Traceparent', OTHER],
    ['TRACEPARENT', 'anything'],
  ])('never takes the place of a header %s: %s', async (name, value) => {
    const one = scene();
    await enqueue(one, { traceparent: TRACE, tracestate: 'vendor=7' }, { headers: { [name]: value } });
    expect(await headersOf(one)).toEqual({ [name]: value });
  });

  it('leaves a tracestate of the producer alone', async () => {
    const one = scene();
    await enqueue(one, { traceparent: TRACE, tracestate: 'vendor=7' }, { headers: { tracestate: 'own=1' } });
    expect(await headersOf(one)).toEqual({ tracestate: 'own=1', traceparent: TRACE });
  });

  it.each([
    ['nothing', {}],
    ['a state without a trace', { tracestate: 'vendor=7' }],
    ['no form that is known', { traceparent: TRACE.slice(1) }],
    ['more than the version has', { traceparent: `${TRACE}-00` }],
    ['a version that is none', { traceparent: TRACE.replace('00-', 'ff-') }],
    ['no trace', { traceparent: `00-${'0'.repeat(32)}-${'b2'.repeat(8)}-01` }],
    ['no span', { traceparent: `00-${'a1'.repeat(16)}-${'0'.repeat(16)}-01` }],
    ['capitals', { traceparent: TRACE.toUpperCase() }],
  ])('is not made up where the call says %s', async (_what, said) => {
    const one = scene();
    await enqueue(one, said);
    expect(await headersOf(one)).toEqual({});
  });

  it('of a later version is handed over as it is', async () => {
    const one = scene();
    const traceparent = `${TRACE.replace('00-', '01-')}-more`;
    await enqueue(one, { traceparent });
    expect(await headersOf(one)).toEqual({ traceparent });
  });

  it('decides nothing over what is the same job', async () => {
    const one = scene();
    const spec = { idempotencyKey: 'k', jobId: uuidV7(), payload: Buffer.from('x') };
    const first = await enqueue(one, { traceparent: TRACE }, spec);
    const second = await enqueue(one, { traceparent: OTHER }, spec);
    const third = await enqueue(one, {}, spec);
    expect([first.deduplicated, second.deduplicated, third.deduplicated]).toEqual([false, true, true]);
    expect(second.job?.headers).toEqual({ traceparent: TRACE });
  });

  it('stays behind where it does not fit, and a job that fits is never refused for it', async () => {
    const one = scene();
    const limit = 16 * 1024;
    const traceparentBytes = 'traceparent'.length + TRACE.length;
    const state = 'vendor=7';
    const spec = (bytes: number) => ({ headers: { a: 'x'.repeat(bytes - 1) } });
    const said = { traceparent: TRACE, tracestate: state };
    for (const [bytes, names] of [
      [limit, ['a']],
      [limit - traceparentBytes + 1, ['a']],
      [limit - traceparentBytes, ['a', 'traceparent']],
      [limit - traceparentBytes - 'tracestate'.length - state.length + 1, ['a', 'traceparent']],
      [limit - traceparentBytes - 'tracestate'.length - state.length, ['a', 'traceparent', 'tracestate']],
    ] as const) {
      await enqueue(one, said, spec(bytes));
      expect(Object.keys(await headersOf(one)).toSorted()).toEqual(names);
    }
    await enqueue(one, { traceparent: TRACE, tracestate: `vendor=${'7'.repeat(510)}` });
    expect(await headersOf(one)).toEqual({ traceparent: TRACE });
  });
});
