import { connect as connectHttp2 } from 'node:http2';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { credentials, Server, type ServiceError, status as Code } from '@grpc/grpc-js';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { SubscribeRequest, SubscribeResponse } from '../../gen/stint/v1/event_service.ts';
import { AckRequest, AckResponse, ClaimRequest, ClaimResponse, WorkerServiceClient } from '../../gen/stint/v1/worker_service.ts';
import type { Call } from '../../src/grpc/call.ts';
import { Connections, type ConnectionLife } from '../../src/grpc/connections.ts';
import { loopback, type Stubs } from './loopback.ts';

const LONG_MS = 60_000;
const AGE_MS = 200;
const SHORT_MS = 50;

const ack = AckRequest.fromPartial({ leaseToken: 't' });
const claim = ClaimRequest.fromPartial({ workerId: 'w', queues: ['q'] });
const everything = SubscribeRequest.fromPartial({ scope: { $case: 'queue', queue: 'q' } });

/** Resolves with whom it was called by, and can be waited for. */
function gate<Value>() {
  let open: (value: Value) => void = () => undefined;
  const opened = new Promise<Value>((resolve) => (open = resolve));
  return { open, opened };
}

async function server(stubs: Stubs, life: ConnectionLife) {
  const running = await loopback(stubs, life);
  onTestFinished(running.close);
  return running;
}

function aborted(call: Call): Promise<unknown> {
  const { ending } = call;
  if (ending === undefined) expect.unreachable();
  return new Promise((resolve) => ending.addEventListener('abort', () => resolve(ending.reason)));
}

function ended(stream: { on(event: 'error', listener: (error: ServiceError) => void): unknown }): Promise<Code> {
  return new Promise((resolve) => stream.on('error', ({ code }) => resolve(code)));
}

describe('a connection at its age', () => {
  it('carries nothing new by the time its streams are told to end', async () => {
    const peers: string[] = [];
    const told = gate<unknown>();
    async function* subscribe(_request: unknown, call: Call) {
      peers.push(call.peer);
      told.open(await aborted(call));
      yield SubscribeResponse.fromPartial({ cursor: 'last' });
    }
    const acks = async (_request: unknown, call: Call) => (peers.push(call.peer), AckResponse.fromPartial({}));
    const { events, workers } = await server({ events: { subscribe }, workers: { ack: acks } }, { ageMs: AGE_MS, graceMs: LONG_MS });
    const cursors: string[] = [];
    const stream = events.subscribe(everything).on('data', ({ cursor }: SubscribeResponse) => cursors.push(cursor));
    await new Promise<void>((resolve) => stream.on('end', () => resolve()));
    expect([cursors, await told.opened]).toEqual([['last'], 'connection_age']);
    await new Promise<void>((resolve, reject) => workers.ack(ack, (error) => (error === null ? resolve() : reject(error))));
    expect(new Set(peers).size).toBe(2);
  });

  it('lets a call under way end', async () => {
    const old = gate<unknown>();
    const answered = async (_request: unknown, call: Call) => (old.open(await aborted(call)), ClaimResponse.fromPartial({}));
    const { workers } = await server({ workers: { claim: answered } }, { ageMs: AGE_MS, graceMs: LONG_MS });
    const code = new Promise<Code>((resolve) => workers.claim(claim, (error) => resolve(error?.code ?? Code.OK)));
    expect([await old.opened, await code]).toEqual(['connection_age', Code.OK]);
  });

  it('has the grace of the stop where the service stops, however short that of its age is', async () => {
    const old = gate<unknown>();
    const answered = async (_request: unknown, call: Call) => {
      old.open(await aborted(call));
      await pause(3 * SHORT_MS);
      return ClaimResponse.fromPartial({});
    };
    const { workers, grpc } = await server({ workers: { claim: answered } }, { ageMs: null, graceMs: SHORT_MS });
    const code = new Promise<Code>((resolve) => workers.claim(claim, (error) => resolve(error?.code ?? Code.OK)));
    await new Promise<void>((resolve, reject) =>
      workers.ack(ack, (error) => (error?.code === Code.UNIMPLEMENTED ? resolve() : reject(error ?? new Error('answered')))),
    );
    await grpc.stop({ answerParked: async () => undefined, graceMs: LONG_MS });
    expect([await old.opened, await code]).toEqual(['shutting_down', Code.OK]);
  });

  it('is cut after its grace, and what it still carries is told UNAVAILABLE', async () => {
    async function* subscribe() {
      yield SubscribeResponse.fromPartial({});
      await new Promise(() => undefined);
    }
    const { events } = await server({ events: { subscribe } }, { ageMs: AGE_MS, graceMs: AGE_MS });
    const streams = Array.from({ length: 200 }, () => events.subscribe(everything).resume());
    expect(new Set(await Promise.all(streams.map(ended)))).toEqual(new Set([Code.UNAVAILABLE]));
  });

  it('is not waited for by a claim: it knows when the connection is cut', async () => {
    const remaining = gate<number>();
    const claims = async (_request: unknown, call: Call) => (remaining.open(call.remainingMs()), ClaimResponse.fromPartial({}));
    const { workers } = await server({ workers: { claim: claims } }, { ageMs: LONG_MS, graceMs: 1_000 });
    workers.claim(claim, () => undefined);
    // Of one that was opened just now, with an age a tenth longer.
    expect(await remaining.opened).toBeLessThanOrEqual(1.1 * LONG_MS + 1_000);
  });

  it('is waited for by a stop, as long as the stop has time: its streams may still be ending', async () => {
    const [old, end] = [gate<unknown>(), gate<void>()];
    async function* subscribe(_request: unknown, call: Call) {
      old.open(await aborted(call));
      await end.opened;
      yield SubscribeResponse.fromPartial({ cursor: 'last' });
    }
    const { events, grpc } = await server({ events: { subscribe } }, { ageMs: AGE_MS, graceMs: LONG_MS });
    const told: string[] = [];
    const stream = events.subscribe(everything).on('data', ({ cursor }: SubscribeResponse) => told.push(cursor));
    const over = new Promise<Code>((resolve) => stream.on('status', ({ code }) => resolve(code)));
    await old.opened;
    const stopped = grpc.stop({ answerParked: async () => end.open(), graceMs: LONG_MS });
    await Promise.all([stopped, over]);
    expect([told, await over]).toEqual([['last'], Code.OK]);
  });

  it('keeps its streams for as long as it lives, where it has no age', async () => {
    const signal = gate<AbortSignal | undefined>();
    const acks = async (_request: unknown, call: Call) => (signal.open(call.ending), AckResponse.fromPartial({}));
    const { workers } = await server({ workers: { ack: acks } }, { ageMs: null, graceMs: 1_000 });
    workers.ack(ack, () => undefined);
    expect((await signal.opened)?.aborted).toBe(false);
  });
});

describe('the age of a connection', () => {
  async function accepted(connections: Connections): Promise<Socket> {
    const listening = createServer((socket) => connections.accept(socket));
    await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
    const address = listening.address();
    const arrived = new Promise<Socket>((resolve) => listening.once('connection', resolve));
    const client = connect(typeof address === 'object' ? (address?.port ?? 0) : 0, '127.0.0.1').on('error', () => undefined);
    onTestFinished(() => void [client.destroy(), listening.close()]);
    return await arrived;
  }

  it.each([
    [0, 900],
    [0.5, 1_000],
    [0.75, 1_050],
  ])('is drawn at random within a tenth: %d gives %d of 1,000 ms', async (random, expectedMs) => {
    const ending: string[] = [];
    const life = { ageMs: 1_000, graceMs: LONG_MS };
    const parts = { server: new Server(), life, random: () => random, onEnding: (peer: string) => void ending.push(peer) };
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const { remoteAddress, remotePort } = await accepted(new Connections(parts));
    vi.advanceTimersByTime(expectedMs - 1);
    expect(ending).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(ending).toEqual([`${remoteAddress}:${remotePort}`]);
  });
});

describe('a client that pings', () => {
  it('is never told to calm down, however often, and with no call under way', async () => {
    const { address } = await server({}, { ageMs: null, graceMs: 1_000 });
    const session = connectHttp2(`http://${address}`);
    await new Promise<void>((resolve) => session.once('connect', () => resolve()));
    const complaints: unknown[] = [];
    session.on('goaway', (code) => complaints.push(code)).on('error', (error) => complaints.push(error));
    for (let pings = 0; pings < 2_000; pings += 1) {
      await new Promise<void>((resolve, reject) => void session.ping((error) => (error === null ? resolve() : reject(error))));
    }
    expect(complaints).toEqual([]);
    session.destroy();
  });
});

describe('a name with several addresses', () => {
  it('is listened on at each that this machine has', async () => {
    const { grpc } = await loopback({ workers: { ack: async () => AckResponse.fromPartial({}) } });
    onTestFinished(async () => await grpc.stop({ answerParked: async () => undefined, graceMs: 1_000 }));
    const port = await grpc.listen({ host: 'localhost', port: 0 });
    const client = new WorkerServiceClient(`127.0.0.1:${port}`, credentials.createInsecure());
    onTestFinished(() => client.close());
    await new Promise<void>((resolve, reject) => client.ack(ack, (error) => (error === null ? resolve() : reject(error))));
  });
});
