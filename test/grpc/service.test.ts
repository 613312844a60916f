import { connect } from 'node:http2';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, credentials, Metadata, status as Code } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { EventServiceService, type SubscribeResponse, SubscribeRequest } from '../../gen/stint/v1/event_service.ts';
import { EnqueueRequest, JobServiceService } from '../../gen/stint/v1/job_service.ts';
import { ClaimRequest, ClaimResponse, WorkerServiceService } from '../../gen/stint/v1/worker_service.ts';
import { RefusalError } from '../../src/domain/error.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { Call } from '../../src/grpc/call.ts';
import { servedMethods } from '../../src/grpc/service.ts';
import { richStatus } from '../support/rich-status.ts';
import { failure, loopback, methodsOf, type Stubs } from './loopback.ts';

const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

async function serve(stubs: Stubs) {
  const running = await loopback(stubs);
  open.push(running.close);
  return running;
}

/** What handlers told, in order; whoever asks first waits. */
class Inbox<T> {
  readonly #told: T[] = [];
  readonly #asked: ((item: T) => void)[] = [];

  tell(item: T): void {
    const ask = this.#asked.shift();
    if (ask === undefined) this.#told.push(item);
    else ask(item);
  }

  next(): Promise<T> {
    const item = this.#told.shift();
    return item === undefined ? new Promise((resolve) => this.#asked.push(resolve)) : Promise.resolve(item);
  }
}

const arrivals = new Inbox<number>();
const endings = new Inbox<string>();

/** Tells that it has come and how long it may stay, and stays until the call is over. */
async function parked(_request: ClaimRequest, call: Call): Promise<ClaimResponse> {
  arrivals.tell(call.remainingMs());
  await new Promise((resolve) => call.signal.addEventListener('abort', resolve));
  endings.tell('aborted');
  return call.signal.reason instanceof Error ? Promise.reject(call.signal.reason) : ClaimResponse.fromPartial({});
}

async function* counting<T>(count: number, item: (n: number) => T): AsyncGenerator<T> {
  for (let n = 0; n < count; n += 1) yield item(n);
}

/** The value once it has stood still for a while. */
async function quiet(read: () => number): Promise<number> {
  for (let before = -1, now = read(); ; before = now, now = read()) {
    if (before === now && now > 0) return now;
    await delay(200);
  }
}

const enqueueRequest = EnqueueRequest.fromPartial({ job: { queue: 'q', type: 't' } });
const claimRequest = ClaimRequest.fromPartial({ workerId: 'w', queues: ['q'] });

describe('a unary call', () => {
  it('is answered by its handler', async () => {
    const { workers } = await serve({
      workers: { claim: async ({ workerId }) => ClaimResponse.fromPartial({ jobs: [{ job: { workerId } }] }) },
    });
    const response = await new Promise<ClaimResponse>((resolve, reject) => {
      workers.claim(claimRequest, (error, answer) => (error === null ? resolve(answer) : reject(error)));
    });
    expect(response.jobs[0]?.job?.workerId).toBe('w');
  });

  it('that is refused tells the reason', async () => {
    const refuse = async () => Promise.reject(new RefusalError({ kind: 'lease_lost' }));
    const { jobs, defects } = await serve({ jobs: { enqueue: refuse } });
    const error = await failure(jobs.enqueue.bind(jobs), enqueueRequest);
    expect(error.code).toBe(Code.FAILED_PRECONDITION);
    expect(richStatus(error).info?.reason).toBe('LEASE_LOST');
    expect(defects).toEqual([]);
  });

  it.each<[string, () => Promise<never>]>([
    ['rejects', async () => Promise.reject(new TypeError('internal secret'))],
    [
      'throws before its first await',
      () => {
        throw new TypeError('internal secret');
      },
    ],
  ])('whose handler %s leaks nothing', async (_name, enqueue) => {
    const { jobs, defects } = await serve({ jobs: { enqueue } });
    const error = await failure(jobs.enqueue.bind(jobs), enqueueRequest);
    expect(error.code).toBe(Code.INTERNAL);
    expect(JSON.stringify([error.details, richStatus(error).message])).not.toContain('secret');
    expect(defects).toEqual([new TypeError('internal secret')]);
  });

  it('tells its handler when the client cancels', async () => {
    const { workers, defects } = await serve({ workers: { claim: parked } });
    const ended = new Promise<Code>((resolve) => {
      const call = workers.claim(claimRequest, (error) => resolve(error?.code ?? Code.OK));
      void arrivals.next().then(() => call.cancel());
    });
    expect(await ended).toBe(Code.CANCELLED);
    expect(await endings.next()).toBe('aborted');
    expect(defects).toEqual([]);
  });

  it('tells its handler how long the client will wait, and when it has stopped waiting', async () => {
    const { workers } = await serve({ workers: { claim: parked } });
    const ended = new Promise<Code>((resolve) => {
      workers.claim(claimRequest, new Metadata(), { deadline: Date.now() + 300 }, (error) => resolve(error?.code ?? Code.OK));
    });
    const remainingMs = await arrivals.next();
    expect(remainingMs).toBeGreaterThan(0);
    expect(remainingMs).toBeLessThanOrEqual(300);
    expect(await ended).toBe(Code.DEADLINE_EXCEEDED);
    expect(await endings.next()).toBe('aborted');
  });

  it('has no end of its own without a deadline', async () => {
    const { workers } = await serve({ workers: { claim: parked } });
    const call = workers.claim(claimRequest, () => undefined);
    expect(await arrivals.next()).toBe(Number.POSITIVE_INFINITY);
    call.cancel();
    expect(await endings.next()).toBe('aborted');
  });
});

describe('a request', () => {
  const payloads = (bytes: number) => EnqueueRequest.fromPartial({ job: { queue: 'q', type: 't', payload: Buffer.alloc(bytes) } });

  it.each([[LIMITS.requestBytes], [3 * LIMITS.requestBytes]])('of more than %i bytes is refused with its reason', async (bytes) => {
    const { jobs } = await serve({ jobs: { enqueue: async () => expect.unreachable() } });
    const error = await failure(jobs.enqueue.bind(jobs), payloads(bytes));
    expect(error.code).toBe(Code.INVALID_ARGUMENT);
    expect(richStatus(error).violations).toMatchObject([{ field: 'request', description: 'must be at most 4194304 bytes' }]);
  });

  it('far past that is cut off by the transport', async () => {
    const { jobs } = await serve({ jobs: { enqueue: async () => expect.unreachable() } });
    const error = await failure(jobs.enqueue.bind(jobs), payloads(5 * LIMITS.requestBytes));
    expect(error.code).toBe(Code.RESOURCE_EXHAUSTED);
  });

  it.each([
    ['unary', JobServiceService.enqueue.path],
    ['stream', EventServiceService.subscribe.path],
  ])('of a %s call that is no message is refused, not an internal error', async (_name, path) => {
    const { address, defects } = await serve({
      jobs: { enqueue: async () => expect.unreachable() },
      events: { subscribe: () => expect.unreachable() },
    });
    const raw = new Client(address, credentials.createInsecure());
    const identity = (bytes: Buffer) => bytes;
    const send: Parameters<typeof failure<Buffer, unknown>>[0] = (bytes, done) =>
      raw.makeUnaryRequest(path, identity, identity, bytes, done);
    const error = await failure(send, Buffer.from([0xff, 0xff, 0xff]));
    raw.close();
    expect(error.code).toBe(Code.INVALID_ARGUMENT);
    expect(richStatus(error).info?.reason).toBe('INVALID_FIELD');
    expect(defects).toEqual([]);
  });
});

describe('an RPC without a handler', () => {
  it.each(methodsOf(JobServiceService, WorkerServiceService, EventServiceService))(
    'answers UNIMPLEMENTED with its name: $path',
    async (method) => {
      const { address } = await serve({});
      const client = new Client(address, credentials.createInsecure());
      const error = await failure((request: Buffer, done) => {
        const identity = (bytes: Buffer) => bytes;
        if (!method.responseStream) return client.makeUnaryRequest(method.path, identity, identity, request, done);
        const stream = method.requestStream
          ? client.makeBidiStreamRequest(method.path, identity, identity)
          : client.makeServerStreamRequest(method.path, identity, identity, request);
        return stream.on('error', done).on('data', () => undefined);
      }, Buffer.alloc(0));
      client.close();
      expect(error.code).toBe(Code.UNIMPLEMENTED);
      expect(error.details).toContain(method.path.slice(1));
      expect(richStatus(error).info).toMatchObject({ reason: 'UNIMPLEMENTED', metadata: { what: method.path.slice(1) } });
    },
  );

  it('is not among those that are served', () => {
    const enqueue = async () => expect.unreachable();
    expect(servedMethods(JobServiceService, { enqueue })).toEqual(['stint.v1.JobService/Enqueue']);
  });
});

describe('a stream', () => {
  const request = SubscribeRequest.fromPartial({ scope: { $case: 'queue', queue: 'q' } });
  const message = (cursor: string): SubscribeResponse => ({ cursor, events: [], progress: [], reconnect: undefined });

  it('carries what its handler gives, in order, then ends with OK', async () => {
    const { events } = await serve({ events: { subscribe: () => counting(100, (n) => message(String(n))) } });
    const cursors: string[] = [];
    const stream = events.subscribe(request);
    stream.on('data', ({ cursor }: SubscribeResponse) => cursors.push(cursor));
    const code = await new Promise((resolve) => stream.on('status', ({ code }) => resolve(code)));
    expect(code).toBe(Code.OK);
    expect(cursors).toEqual(Array.from({ length: 100 }, (_, n) => String(n)));
  });

  it('carries what came before a refusal, then its reason', async () => {
    async function* subscribe() {
      yield message('1');
      throw new RefusalError({ kind: 'cursor_expired', oldestCursor: 'x', why: 'too old' });
    }
    const { events } = await serve({ events: { subscribe } });
    const cursors: string[] = [];
    const stream = events.subscribe(request);
    stream.on('data', ({ cursor }: SubscribeResponse) => cursors.push(cursor));
    const error = await new Promise<Parameters<typeof richStatus>[0]>((resolve) => stream.on('error', resolve));
    expect(cursors).toEqual(['1']);
    expect(richStatus(error)).toMatchObject({ code: Code.OUT_OF_RANGE, info: { reason: 'CURSOR_EXPIRED' } });
  });

  it('asks its handler for one message more than a reader who has stopped takes', async () => {
    let given = 0;
    const large = message('x'.repeat(64 * 1024));
    const { address } = await serve({ events: { subscribe: () => counting(1_000, () => ((given += 1), large)) } });
    // grpc-js reads ahead of its caller, so the reader who has stopped is made by hand.
    const session = connect(`http://${address}`);
    const stream = session.request({ ':method': 'POST', ':path': EventServiceService.subscribe.path, 'content-type': 'application/grpc' });
    const body = Buffer.from(SubscribeRequest.encode(request).finish());
    stream.pause();
    stream.end(Buffer.concat([Buffer.of(0, 0, 0, 0, body.length), body]));
    // The window of a stream is 64 KiB: the first message fills it.
    expect(await quiet(() => given)).toBeLessThan(5);
    stream.close();
    session.close();
  });

  it('ends its handler when the client goes away, also one that waits for the reader', async () => {
    async function* subscribe() {
      endings.tell('began');
      try {
        for (;;) yield message('x'.repeat(64 * 1024));
      } finally {
        endings.tell('ended');
      }
    }
    const { events } = await serve({ events: { subscribe } });
    const stream = events.subscribe(request);
    stream.on('error', () => undefined);
    stream.pause();
    expect(await endings.next()).toBe('began');
    await delay(50);
    stream.cancel();
    expect(await endings.next()).toBe('ended');
  });
});
