import { AsyncLocalStorage } from 'node:async_hooks';
import { Metadata, type ServiceError, status as Code } from '@grpc/grpc-js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { SubscribeRequest, SubscribeResponse } from '../../gen/stint/v1/event_service.ts';
import { EnqueueRequest, EnqueueResponse, GetJobRequest } from '../../gen/stint/v1/job_service.ts';
import { WorkRequest, WorkResponse } from '../../gen/stint/v1/worker_service.ts';
import { RefusalError } from '../../src/domain/error.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { everyRpcObserver, type ObservedRpc, type RpcEnd, type RpcObservation, type RpcObserver } from '../../src/ops/rpc-observer.ts';
import { failure, loopback, type Stubs } from './loopback.ts';

interface Watched {
  readonly call: ObservedRpc;
  readonly peer: string;
  readonly header: string | null;
  readonly messages: string[];
  readonly ended: Promise<RpcEnd>;
}

/** Keeps every call that it is told of; its handlers run within the name of their method. */
class Watcher implements RpcObserver {
  readonly around = new AsyncLocalStorage<string>();
  readonly calls: Watched[] = [];
  trailer: Record<string, string> | undefined;

  begin(call: ObservedRpc): RpcObservation {
    const messages: string[] = [];
    let tell: (end: RpcEnd) => void = () => undefined;
    const ended = new Promise<RpcEnd>((resolve) => (tell = resolve));
    this.calls.push({ call, peer: call.peer, header: call.header('x-mark'), messages, ended });
    return {
      run: (work) => this.around.run(call.rpc.method, work),
      onMessage: (direction) => void messages.push(direction),
      end: (end) => {
        tell(end);
        return this.trailer;
      },
    };
  }
}

async function watched(stubs: Stubs) {
  const watcher = new Watcher();
  const service = await loopback({ observer: watcher, ...stubs });
  onTestFinished(() => service.close());
  const only = () => {
    const [first, ...others] = watcher.calls;
    if (first === undefined || others.length > 0) throw new Error(`${watcher.calls.length} calls`);
    return first;
  };
  return { ...service, watcher, only };
}

const request = EnqueueRequest.fromPartial({ job: { queue: 'q' } });
const empty = EnqueueResponse.fromPartial({});
const OK = { code: 0, status: 'OK', reason: null, cause: null };

const enqueued = (jobs: Awaited<ReturnType<typeof watched>>['jobs'], metadata = new Metadata()) =>
  new Promise<Metadata>((resolve, reject) => {
    const call = jobs.enqueue(request, metadata, (error) => error !== null && reject(error));
    call.on('status', (status) => resolve(status.metadata));
  });

describe('whoever watches calls', () => {
  it('is told of an answered unary call: its method, peer and metadata, and its end', async () => {
    const { jobs, only } = await watched({ jobs: { enqueue: async () => empty } });
    const metadata = new Metadata();
    metadata.set('x-mark', 'sesame');
    await enqueued(jobs, metadata);
    const { call, peer, header, messages, ended } = only();
    expect(call.rpc).toEqual({ path: '/stint.v1.JobService/Enqueue', service: 'stint.v1.JobService', method: 'Enqueue', type: 'unary' });
    expect(peer).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(header).toBe('sesame');
    expect(call.header('x-other')).toBeNull();
    expect(await ended).toEqual(OK);
    expect(messages).toEqual(['received', 'sent']);
  });

  it('is told why a call was refused', async () => {
    const enqueue = async () => Promise.reject(new RefusalError({ kind: 'shutting_down' }));
    const { jobs, only } = await watched({ jobs: { enqueue } });
    await failure(jobs.enqueue.bind(jobs), request);
    expect(await only().ended).toEqual({ code: Code.UNAVAILABLE, status: 'UNAVAILABLE', reason: 'SHUTTING_DOWN', cause: null });
  });

  it('is told what nobody foresaw', async () => {
    const defect = new Error('a defect');
    const { jobs, only } = await watched({ jobs: { enqueue: async () => Promise.reject(defect) } });
    await failure(jobs.enqueue.bind(jobs), request);
    expect(await only().ended).toEqual({ code: Code.INTERNAL, status: 'INTERNAL', reason: 'INTERNAL', cause: defect });
  });

  it('is told of a method that is not served', async () => {
    const { jobs, only } = await watched({});
    await failure(jobs.getJob.bind(jobs), GetJobRequest.fromPartial({}));
    expect(await only().ended).toMatchObject({ status: 'UNIMPLEMENTED', reason: 'UNIMPLEMENTED' });
  });

  it('is told of a request that cannot be read', async () => {
    const { jobs, only } = await watched({ jobs: { enqueue: async () => empty } });
    const payload = Buffer.alloc(LIMITS.requestBytes + 1);
    await failure(jobs.enqueue.bind(jobs), EnqueueRequest.fromPartial({ job: { payload } }));
    expect(await only().ended).toMatchObject({ status: 'INVALID_ARGUMENT', reason: 'INVALID_FIELD' });
  });

  it('is told of a request that the transport turns away', async () => {
    const { jobs, only } = await watched({ jobs: { enqueue: async () => empty } });
    const payload = Buffer.alloc(5 * LIMITS.requestBytes);
    await failure(jobs.enqueue.bind(jobs), EnqueueRequest.fromPartial({ job: { payload } }));
    expect(await only().ended).toMatchObject({ status: 'RESOURCE_EXHAUSTED', reason: null });
  });

  it('is told of an answer that the transport turns away', async () => {
    const { jobs, only } = await watched({
      jobs: { enqueue: async () => EnqueueResponse.fromPartial({ job: { result: Buffer.alloc(5 * LIMITS.responseBytes) } }) },
    });
    await failure(jobs.enqueue.bind(jobs), request);
    expect(await only().ended).toMatchObject({ status: 'RESOURCE_EXHAUSTED', reason: null });
  });

  it('is told of a deadline that passes, whatever the handler answers later', async () => {
    let answer: () => void = () => undefined;
    const late = new Promise<void>((resolve) => (answer = resolve));
    const { jobs, only } = await watched({ jobs: { enqueue: async () => late.then(() => empty) } });
    const ended = new Promise<ServiceError | null>((resolve) =>
      jobs.enqueue(request, new Metadata(), { deadline: Date.now() + 50 }, resolve),
    );
    expect((await ended)?.code).toBe(Code.DEADLINE_EXCEEDED);
    expect((await only().ended).status).toMatch(/^(DEADLINE_EXCEEDED|CANCELLED)$/);
    answer();
  });

  it('is told of a client that goes away from a stream', async () => {
    const { events, only } = await watched({
      events: {
        subscribe: async function* (_request, call) {
          yield SubscribeResponse.fromPartial({});
          await new Promise((resolve) => call.signal.addEventListener('abort', resolve));
        },
      },
    });
    const stream = events.subscribe(SubscribeRequest.fromPartial({}));
    stream.on('error', () => undefined);
    stream.once('data', () => stream.cancel());
    await new Promise((resolve) => stream.once('end', resolve).once('close', resolve).once('error', resolve));
    const { call, messages, ended } = only();
    expect(call.rpc.type).toBe('server_stream');
    expect(await ended).toEqual({ code: Code.CANCELLED, status: 'CANCELLED', reason: null, cause: null });
    expect(messages).toEqual(['received', 'sent']);
  });

  it('is told of each message of a duplex stream', async () => {
    const { workers, only } = await watched({
      workers: {
        work: async function* (requests) {
          for await (const _ of requests) yield WorkResponse.fromPartial({});
        },
      },
    });
    const stream = workers.work();
    stream.write(WorkRequest.fromPartial({}));
    stream.write(WorkRequest.fromPartial({}));
    stream.end();
    stream.resume();
    const { call, messages, ended } = await new Promise<Watched>((resolve) => stream.once('status', () => resolve(only())));
    expect(call.rpc.type).toBe('bidi_stream');
    expect(await ended).toEqual(OK);
    expect(messages.filter((one) => one === 'received')).toHaveLength(2);
    expect(messages.filter((one) => one === 'sent')).toHaveLength(2);
  });

  it('has the handler of every kind run within it', async () => {
    const found: (string | undefined)[] = [];
    const service = await watched({
      jobs: {
        enqueue: async () => {
          await new Promise((resolve) => setImmediate(resolve));
          found.push(service.watcher.around.getStore());
          return empty;
        },
      },
      events: {
        subscribe: async function* () {
          found.push(service.watcher.around.getStore());
          yield SubscribeResponse.fromPartial({});
        },
      },
      workers: {
        work: async function* (requests) {
          for await (const _ of requests) {
            found.push(service.watcher.around.getStore());
            yield WorkResponse.fromPartial({});
          }
        },
      },
    });
    await enqueued(service.jobs);
    const stream = service.events.subscribe(SubscribeRequest.fromPartial({})).resume();
    await new Promise((resolve) => stream.once('end', resolve));
    const work = service.workers.work();
    work.write(WorkRequest.fromPartial({}));
    work.end();
    work.resume();
    await new Promise((resolve) => work.once('status', resolve));
    expect(found).toEqual(['Enqueue', 'Subscribe', 'Work']);
  });

  it('may tell the client something in the trailing metadata, whether the call succeeds or not', async () => {
    const { jobs, watcher } = await watched({ jobs: { enqueue: async () => empty } });
    watcher.trailer = { 'x-told': 'sesame' };
    expect((await enqueued(jobs)).get('x-told')).toEqual(['sesame']);
    const refused = await failure(jobs.getJob.bind(jobs), GetJobRequest.fromPartial({}));
    expect(refused.metadata.get('x-told')).toEqual(['sesame']);
    expect(refused.metadata.get('grpc-status-details-bin')).toHaveLength(1);
  });
});

describe('several who watch calls', () => {
  const call = {} as unknown as ObservedRpc;
  const observer = (name: string, told: string[], trailer?: Record<string, string>): RpcObserver => ({
    begin: () => ({
      run: (work) => {
        told.push(`${name} around`);
        return work();
      },
      end: () => {
        told.push(`${name} end`);
        return trailer;
      },
    }),
  });

  it('all watch, run within each other, and tell the client together', () => {
    const told: string[] = [];
    const all = everyRpcObserver([observer('a', told, { a: '1' }), { begin: () => null }, observer('b', told, { b: '2' })]);
    const observation = all.begin(call);
    expect(observation?.run?.(() => told.push('work'))).toBe(3);
    expect(observation?.end({ ...OK })).toEqual({ a: '1', b: '2' });
    expect(told).toEqual(['a around', 'b around', 'work', 'a end', 'b end']);
  });

  it('are nobody where none wants to watch', () => {
    expect(everyRpcObserver([{ begin: () => null }, { begin: () => null }]).begin(call)).toBeNull();
  });
});
