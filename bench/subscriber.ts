// A process of subscribers, as the bench tells it. They count what comes and decode nothing, unless latencies are asked for.
import { Client, type ClientReadableStream, credentials } from '@grpc/grpc-js';
import { EventServiceService, SubscribeRequest, SubscribeResponse } from '../gen/stint/v1/event_service.ts';
import { serveUntilAlone } from './load-process.ts';
import { type Arrival, type Delivered, numberedForSubscriber, type SubscriberRequest, type Subscription } from './subscriber-messages.ts';

/** Subscribers of one connection. */
const A_CONNECTION = 100;
/** More than any measurement brings. */
const MAX_ARRIVALS = 1_000_000;
const EVENTS_FIELD = (1 << 3) | 2;

interface Counts {
  events: number;
  messages: number;
  bytes: number;
  readonly perSubscriber: number[];
  readonly arrivals: Arrival[];
  /** How many arrivals were known at each count. */
  readonly marks: number[];
}

interface Running {
  readonly clients: readonly Client[];
  readonly streams: readonly ClientReadableStream<Buffer>[];
  readonly counts: Counts;
}

let running: Running | null = null;

/** How often field 1 stands at the top of a message: its events, by their lengths alone. */
function eventsIn(bytes: Buffer): number {
  let [at, events] = [0, 0];
  const varint = () => {
    let [value, factor] = [0, 1];
    for (;;) {
      const byte = bytes[(at += 1) - 1] ?? 0;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 128;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    // All fields of this message have a length.
    const length = varint();
    at += length;
    if (tag === EVENTS_FIELD) events += 1;
  }
  return events;
}

function note(counts: Counts, subscriber: number, bytes: Buffer, latency: boolean): void {
  const events = eventsIn(bytes);
  counts.events += events;
  counts.messages += 1;
  counts.bytes += bytes.length;
  counts.perSubscriber[subscriber] = (counts.perSubscriber[subscriber] ?? 0) + events;
  if (!latency || counts.arrivals.length > MAX_ARRIVALS) return;
  const cameAtMs = performance.timeOrigin + performance.now();
  const eventsAt = new Map<string, number>();
  for (const { occurredAt } of SubscribeResponse.decode(bytes).events) {
    if (occurredAt === undefined) continue;
    const atMicros = String(occurredAt.seconds * 1_000_000n + BigInt(Math.round(occurredAt.nanos / 1_000)));
    eventsAt.set(atMicros, (eventsAt.get(atMicros) ?? 0) + 1);
  }
  for (const [atMicros, events] of eventsAt) counts.arrivals.push({ atMicros, cameAtMs, events });
}

async function subscribe({ target, subscribers, queue, latency }: Subscription): Promise<Running> {
  const { path, requestSerialize } = EventServiceService.subscribe;
  const scope = queue === null ? ({ $case: 'everything', everything: {} } as const) : ({ $case: 'queue', queue } as const);
  const request = SubscribeRequest.fromPartial({ scope, start: { $case: 'fromNow', fromNow: {} } });
  const clients = Array.from(
    { length: Math.ceil(subscribers / A_CONNECTION) },
    () => new Client(target, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 }),
  );
  const counts: Counts = { events: 0, messages: 0, bytes: 0, perSubscriber: [], arrivals: [], marks: [] };
  const streams: ClientReadableStream<Buffer>[] = [];
  const firsts = Array.from({ length: subscribers }, (_, subscriber) => {
    const client = clients[subscriber % clients.length];
    counts.perSubscriber.push(0);
    return new Promise<void>((resolve, reject) => {
      const stream = client?.makeServerStreamRequest(path, requestSerialize, (bytes: Buffer) => bytes, request);
      if (stream === undefined) return;
      streams.push(stream);
      stream.once('data', () => resolve());
      stream.on('data', (bytes: Buffer) => note(counts, subscriber, bytes, latency));
      stream.on('error', reject);
    });
  });
  await Promise.all(firsts);
  return { clients, streams, counts };
}

async function answer(request: SubscriberRequest): Promise<unknown> {
  switch (request.kind) {
    case 'subscribe':
      running = await subscribe(request.subscription);
      return null;
    case 'count': {
      if (running === null) throw new Error('nobody subscribes');
      const { events, messages, bytes, perSubscriber, arrivals, marks } = running.counts;
      marks.push(arrivals.length);
      return { atMs: performance.now(), events, messages, bytes, fewest: Math.min(...perSubscriber) } satisfies Delivered;
    }
    case 'leave': {
      const left = running;
      running = null;
      left?.streams.forEach((stream) => stream.cancel());
      left?.clients.forEach((client) => client.close());
      return left?.counts.arrivals.slice(...left.counts.marks);
    }
  }
}

process.on('message', (message) => {
  const { id, request } = numberedForSubscriber.parse(message);
  answer(request).then(
    (value) => process.send?.({ id, value }),
    (error: unknown) => process.send?.({ id, error: String(error) }),
  );
});
serveUntilAlone();
process.send?.({ ready: '' });
