// Clients in a process of their own: many streams on few connections, as its parent asks.
//
//   streams-in-child.ts ADDRESS CONNECTIONS
import { type ClientReadableStream, credentials } from '@grpc/grpc-js';
import { EventServiceClient, SubscribeRequest } from '../../gen/stint/v1/event_service.ts';
import { AwaitTerminalRequest, type AwaitTerminalResponse, JobServiceClient } from '../../gen/stint/v1/job_service.ts';

export type Scope = 'everything' | 'queue' | 'job';

/** What the parent asks for; each is answered by one message. */
export type Ask =
  | {
      readonly kind: 'subscribe';
      readonly scope: Scope;
      readonly count: number;
      readonly queues: number;
      readonly jobIds: readonly string[];
    }
  | { readonly kind: 'await'; readonly jobIds: readonly string[] }
  /** Answered when every await has been told its end. */
  | { readonly kind: 'woken' }
  | { readonly kind: 'close' };

/** `events`: what all streams got since they were opened. `wakes`: when each await was told, in milliseconds since 1970. */
export type Told = { readonly opened: number } | { readonly wakes: readonly number[] } | { readonly events: number };

/** Streams that are being opened at once. */
const OPENING = 200;

const [address = '', connections = '10'] = process.argv.slice(2);
const options = { 'grpc.use_local_subchannel_pool': 1, 'grpc.enable_retries': 0 };
const insecure = credentials.createInsecure();
const jobs = Array.from({ length: Number(connections) }, () => new JobServiceClient(address, insecure, options));
const subscriptions = Array.from({ length: Number(connections) }, () => new EventServiceClient(address, insecure, options));

let streams: { cancel(): void }[] = [];
let events = 0;
let wakes: number[] = [];
let whenWoken: () => void = () => undefined;
let awaited = 0;

function turn<Client>(clients: readonly Client[], index: number): Client {
  const client = clients[index % clients.length];
  if (client === undefined) throw new Error('no connection');
  return client;
}

/** Resolves with the first message. */
function opened<Message>(stream: ClientReadableStream<Message>, onMessage: (message: Message) => void): Promise<void> {
  streams.push(stream);
  return new Promise((resolve, reject) => {
    stream.on('error', reject);
    stream.on('data', (message: Message) => {
      onMessage(message);
      resolve();
    });
  });
}

async function openMany(count: number, open: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: OPENING }, async () => {
      for (let index = next++; index < count; index = next++) await open(index);
    }),
  );
}

function scopeOf(scope: Scope, index: number, queues: number, jobIds: readonly string[]) {
  if (scope === 'everything') return { $case: 'everything', everything: {} } as const;
  if (scope === 'queue') return { $case: 'queue', queue: `q${index % queues}` } as const;
  return { $case: 'job', jobId: jobIds[index % jobIds.length] ?? '' } as const;
}

async function subscribe({ scope, count, queues, jobIds }: Extract<Ask, { kind: 'subscribe' }>): Promise<void> {
  await openMany(count, (index) => {
    const told = scopeOf(scope, index, queues, jobIds);
    const request = SubscribeRequest.fromPartial({ scope: told.$case === 'job' ? { $case: 'jobId', jobId: told.jobId } : told });
    return opened(turn(subscriptions, index).subscribe(request), (message) => void (events += message.events.length));
  });
}

async function awaitAll(jobIds: readonly string[]): Promise<void> {
  awaited = jobIds.length;
  await openMany(jobIds.length, (index) =>
    opened(turn(jobs, index).awaitTerminal(AwaitTerminalRequest.fromPartial({ jobId: jobIds[index] ?? '' })), onState),
  );
}

function onState({ terminal }: AwaitTerminalResponse): void {
  if (!terminal) return;
  wakes.push(performance.timeOrigin + performance.now());
  if (wakes.length === awaited) whenWoken();
}

function close(): void {
  for (const stream of streams) stream.cancel();
  streams = [];
}

async function answer(ask: Ask): Promise<Told> {
  if (ask.kind === 'subscribe') await subscribe(ask);
  else if (ask.kind === 'await') await awaitAll(ask.jobIds);
  else if (ask.kind === 'woken') {
    if (wakes.length < awaited) await new Promise<void>((resolve) => (whenWoken = resolve));
    const told = wakes;
    [wakes, streams] = [[], []];
    return { wakes: told };
  } else {
    close();
    const told = events;
    events = 0;
    return { events: told };
  }
  return { opened: streams.length };
}

process.on('message', (ask: Ask) => void answer(ask).then((told) => process.send?.(told)));
process.once('disconnect', () => process.exit());
