/** What a collector gets of the real process: which spans, below which, linked to which. */
import { randomBytes } from 'node:crypto';
import { Metadata } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { EnqueueBatchRequest, type EnqueueBatchResponse, EnqueueRequest, type EnqueueResponse } from '../../gen/stint/v1/job_service.ts';
import { ClaimRequest, type ClaimResponse } from '../../gen/stint/v1/worker_service.ts';
import { codeOf, connect, held, type Held, type Stint } from '../contract/stint.ts';
import { Scene } from '../contract/scene.ts';
import { openWork } from '../contract/work-stream.ts';
import { type CollectedSpan, type Collector, grpcCollector, httpCollector } from '../support/collector.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { startProcess } from './service-process.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.drop());

interface Named {
  readonly traceId: string;
  readonly spanId: string;
}

/** A span of the client's side, and the metadata that names it. */
function clientSpan(flags = '01', state = ''): Named & { readonly metadata: Metadata } {
  const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
  const metadata = new Metadata();
  metadata.set('traceparent', `00-${traceId}-${spanId}-${flags}`);
  if (state !== '') metadata.set('tracestate', state);
  return { traceId, spanId, metadata };
}

/** The service with tracing on. What it has sent when it has ended is all that there is. */
class Traced {
  readonly collector: Collector;
  readonly scene: Scene;
  readonly #end: () => Promise<void>;

  constructor(collector: Collector, stint: Stint, end: () => Promise<void>) {
    this.collector = collector;
    this.scene = new Scene(stint);
    this.#end = end;
  }

  static async start(collector: Collector, environment: Record<string, string> = {}): Promise<Traced> {
    const { child, serving, ended } = startProcess({
      ...{ DATABASE_URL: database.url, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, ...environment },
      // Longer than any test takes: what comes, the end has sent.
      OTEL_BSP_SCHEDULE_DELAY: '60000',
    });
    const stint = connect((await serving)?.grpc ?? expect.unreachable());
    onTestFinished(() => collector.close());
    return new Traced(collector, stint, async () => {
      stint.close();
      child.kill('SIGTERM');
      expect(await ended).toMatchObject({ code: 0, refusals: [] });
    });
  }

  enqueue(spec: Parameters<typeof EnqueueRequest.fromPartial>[0]['job'], metadata = new Metadata()): Promise<EnqueueResponse> {
    const { stint, namespace, queue } = this.scene;
    const request = EnqueueRequest.fromPartial({ namespace, job: { queue, ...spec } });
    return new Promise((resolve, reject) => {
      stint.raw.jobs.enqueue(request, metadata, (error, answer) => (error === null ? resolve(answer) : reject(error)));
    });
  }

  enqueueBatch(count: number, metadata: Metadata): Promise<EnqueueBatchResponse> {
    const { stint, namespace, queue } = this.scene;
    const request = EnqueueBatchRequest.fromPartial({ namespace, jobs: Array.from({ length: count }, () => ({ queue })) });
    return new Promise((resolve, reject) => {
      stint.raw.jobs.enqueueBatch(request, metadata, (error, answer) => (error === null ? resolve(answer) : reject(error)));
    });
  }

  async claim(maxJobs: number, metadata: Metadata): Promise<Held[]> {
    const { stint, namespace, queue } = this.scene;
    const request = ClaimRequest.fromPartial({ namespace, queues: [queue], workerId: 'w', maxJobs });
    const { jobs } = await new Promise<ClaimResponse>((resolve, reject) => {
      stint.raw.workers.claim(request, metadata, (error, answer) => (error === null ? resolve(answer) : reject(error)));
    });
    return jobs.map(held);
  }

  /** Ends the service, and tells the spans of a name. */
  async ended(): Promise<(name: string) => CollectedSpan[]> {
    await this.#end();
    return (name) => this.collector.spans.filter((span) => span.name === name);
  }
}

const only = <T>(all: readonly T[]): T => {
  expect(all).toHaveLength(1);
  return all[0] ?? expect.unreachable();
};
const named = ({ traceId, spanId }: Named): Named => ({ traceId, spanId });
const below = ({ traceId, spanId }: Named) => ({ traceId, parentSpanId: spanId });
const traceparentOf = ({ traceId, spanId }: Named, flags = '01') => `00-${traceId}-${spanId}-${flags}`;

describe.each([
  ['over HTTP', httpCollector, {}],
  ['over gRPC', grpcCollector, { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }],
])('a traced job, exported %s', (_how, collectorOf, environment) => {
  it('is one trace from its producer to its workers: parents, links, the header', async () => {
    const traced = await Traced.start(await collectorOf(), environment);
    const [producer, worker] = [clientSpan('01', 'vendor=7'), clientSpan()];
    const { job } = await traced.enqueue({ payload: Buffer.from('a secret payload') }, producer.metadata);
    const { job: claimed, leaseToken } = only(await traced.claim(10, worker.metadata));
    await traced.scene.stint.ack({ leaseToken, result: Buffer.from('a secret result') });
    const spans = await traced.ended();

    const enqueued = only(spans('stint.v1.JobService/Enqueue'));
    expect(enqueued).toMatchObject({ kind: 2, status: 0, traceState: 'vendor=7', ...below(producer) });
    expect(enqueued.attributes).toMatchObject({
      ...{ 'rpc.system': 'grpc', 'rpc.service': 'stint.v1.JobService', 'rpc.method': 'Enqueue', 'rpc.grpc.status_code': 0 },
      ...{ 'network.peer.address': '127.0.0.1', 'network.peer.port': expect.any(Number) },
    });
    expect(enqueued.resource).toMatchObject({ 'service.name': 'stint', 'service.instance.id': expect.any(String) });
    expect(claimed.headers).toEqual({ traceparent: traceparentOf(enqueued), tracestate: 'vendor=7' });
    expect(job?.headers).toEqual(claimed.headers);

    const claim = only(spans('stint.v1.WorkerService/Claim'));
    expect(claim).toMatchObject(below(worker));
    const link = { ...named(enqueued), traceState: 'vendor=7', attributes: { 'stint.job_id': claimed.jobId } };
    const assign = only(spans('assign'));
    expect(assign).toMatchObject({ kind: 5, ...below(claim), links: [link] });
    expect(assign.attributes).toMatchObject({ 'messaging.batch.message_count': 1, 'messaging.message.id': claimed.jobId });
    const ack = only(spans('stint.v1.WorkerService/Ack'));
    expect(ack.parentSpanId).toBe('');
    expect(only(spans('settle'))).toMatchObject({ kind: 5, ...below(ack), links: [link] });

    expect(only(spans('flush enqueue'))).toMatchObject({ kind: 1, ...below(enqueued), links: [named(enqueued)], status: 0 });
    expect(only(spans('flush ack'))).toMatchObject({ links: [named(ack)], attributes: { 'stint.lane': 'ack', 'stint.items': 1 } });
    for (const secret of ['a secret', leaseToken, 'insert into']) expect(traced.collector.bytes.includes(secret)).toBe(false);
  });
});

describe('with tracing on', () => {
  it('a flush is linked to each call that it carries something of', async () => {
    const traced = await Traced.start(await httpCollector());
    const producers = Array.from({ length: 20 }, () => clientSpan());
    await Promise.all(producers.map(({ metadata }) => traced.enqueue({}, metadata)));
    const spans = await traced.ended();
    const calls = spans('stint.v1.JobService/Enqueue');
    expect(calls.map(({ traceId }) => traceId).toSorted()).toEqual(producers.map(({ traceId }) => traceId).toSorted());
    const flushes = spans('flush enqueue');
    // What came while the first was under way is one flush, or a few.
    expect(flushes.length).toBeLessThan(calls.length);
    const key = ({ traceId, spanId }: Named) => `${traceId}-${spanId}`;
    expect(flushes.flatMap(({ links }) => links.map(key)).toSorted()).toEqual(calls.map(key).toSorted());
    expect(flushes.map(({ attributes }) => Number(attributes['stint.items'])).reduce((sum, items) => sum + items)).toBe(20);
  });

  it('links are bounded, and those left out are told', async () => {
    const traced = await Traced.start(await httpCollector());
    const producer = clientSpan();
    await traced.enqueueBatch(200, producer.metadata);
    expect(await traced.claim(200, clientSpan().metadata)).toHaveLength(200);
    const spans = await traced.ended();
    const batch = only(spans('stint.v1.JobService/EnqueueBatch'));
    const assign = only(spans('assign'));
    expect(assign.links).toHaveLength(128);
    expect(assign.links.map(named)).toEqual(Array.from({ length: 128 }, () => named(batch)));
    expect(assign.attributes).toMatchObject({ 'messaging.batch.message_count': 200, 'stint.links_left_out': 72 });
    // One caller, however many items.
    for (const flush of spans('flush enqueue')) expect(flush.links.map(named)).toEqual([named(batch)]);
  });

  it('a job that its producer traces goes on in that trace, untouched', async () => {
    const traced = await Traced.start(await httpCollector());
    const [caller, own] = [clientSpan(), clientSpan()];
    const headers = { Traceparent: traceparentOf(own), tenant: 'a' };
    await traced.enqueue({ headers }, caller.metadata);
    const { job } = only(await traced.claim(1, new Metadata()));
    expect(job.headers).toEqual(headers);
    const spans = await traced.ended();
    expect(only(spans('stint.v1.JobService/Enqueue'))).toMatchObject(below(caller));
    expect(only(spans('assign')).links.map(named)).toEqual([named(own)]);
  });

  it('what a sampler leaves out is not recorded, and its trace goes on', async () => {
    const traced = await Traced.start(await httpCollector(), { OTEL_TRACES_SAMPLER: 'parentbased_always_off' });
    const [left, kept] = [clientSpan('00'), clientSpan()];
    await traced.enqueue({}, left.metadata);
    const [{ job } = expect.unreachable()] = await traced.claim(1, new Metadata());
    expect(job.headers['traceparent']).toMatch(new RegExp(`^00-${left.traceId}-[0-9a-f]{16}-00$`));
    await traced.enqueue({}, kept.metadata);
    await traced.claim(1, kept.metadata);
    await traced.ended();
    expect(new Set(traced.collector.spans.map(({ traceId }) => traceId))).toEqual(new Set([kept.traceId]));
    expect(traced.collector.spans.map(({ name }) => name).toSorted()).toEqual(
      ['assign', 'flush enqueue', 'stint.v1.JobService/Enqueue', 'stint.v1.WorkerService/Claim'].toSorted(),
    );
  });

  it('what goes over Work is linked below its stream', async () => {
    const traced = await Traced.start(await httpCollector());
    const { stream } = await openWork(traced.scene);
    const { job } = await traced.enqueue({}, clientSpan().metadata);
    const held = await stream.assignedOne();
    expect(held.job.headers).toEqual(job?.headers);
    await stream.ack(held);
    await stream.finish();
    const spans = await traced.ended();
    const [work, enqueued] = [only(spans('stint.v1.WorkerService/Work')), only(spans('stint.v1.JobService/Enqueue'))];
    for (const name of ['assign', 'settle']) {
      const span = only(spans(name));
      expect(span).toMatchObject(below(work));
      expect(span.links.map(named)).toEqual([named(enqueued)]);
    }
    expect(only(spans('flush ack')).links.map(named)).toEqual([named(work)]);
  });

  it('refusals tell code and reason, probes nothing', async () => {
    const traced = await Traced.start(await httpCollector());
    const { stint, namespace } = traced.scene;
    expect(await codeOf(stint.getQueue({ namespace, queue: 'absent' }))).toBe('NOT_FOUND');
    await new Promise((resolve) => {
      const identity = (bytes: Buffer) => bytes;
      stint.raw.jobs.makeUnaryRequest('/grpc.health.v1.Health/Check', identity, identity, Buffer.alloc(0), resolve);
    });
    await traced.ended();
    expect(only(traced.collector.spans)).toMatchObject({
      ...{ name: 'stint.v1.QueueService/GetQueue', status: 0 },
      attributes: { 'rpc.grpc.status_code': 5, 'error.type': 'NOT_FOUND', 'stint.reason': 'QUEUE_NOT_FOUND' },
    });
  });
});

describe('the process', () => {
  it('serves on, and ends in time, where nobody collects', async () => {
    const collector = await httpCollector();
    await collector.close();
    const { child, serving, ended } = startProcess({ DATABASE_URL: database.url, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
    const stint = connect((await serving)?.grpc ?? expect.unreachable());
    await new Scene(stint).enqueue();
    stint.close();
    child.kill('SIGTERM');
    const { code, log } = await ended;
    expect(code).toBe(0);
    expect(log.split('\n').filter((line) => line.includes('"part":"tracing"'))).toHaveLength(1);
  });

  it('says in one line what is not installed', async () => {
    const hook = `export async function resolve(name, context, next) {
      if (name !== '@opentelemetry/sdk-trace-base') return next(name, context);
      throw Object.assign(new Error("Cannot find package '" + name + "'"), { code: 'ERR_MODULE_NOT_FOUND' });
    }`;
    const asUrl = (source: string) => `data:text/javascript,${encodeURIComponent(source)}`;
    const register = `import { register } from 'node:module'; register(${JSON.stringify(asUrl(hook))});`;
    const { ended } = startProcess({
      ...{ DATABASE_URL: database.url, OTEL_TRACES_EXPORTER: 'otlp', NODE_OPTIONS: `--import=${asUrl(register)}` },
    });
    const { code, refusals } = await ended;
    expect(code).toBe(1);
    expect(refusals).toEqual([expect.stringContaining('@opentelemetry/sdk-trace-base is not installed: npm ci --include=optional')]);
  });
});
