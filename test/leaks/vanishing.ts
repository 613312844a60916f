import type { ClientHttp2Stream } from 'node:http2';
import { type Ground, WIRE_CALLS, type WireCall } from './calls.ts';
import { cancel, RawConnection } from './raw-connection.ts';

/** Calls that a client has in flight on one connection when it vanishes. */
const CALLS_AT_ONCE = 25;
/** Clients at once. */
const CLIENTS = 6;
/** A client goes up to so many turns of its event loop after its last call: before, while and after the service works. */
const TURNS = 12;

/** How a client makes a number of calls, and goes from them. */
interface Way {
  /** Default: answers. */
  readonly takes?: 'answers' | 'nothing';
  readonly begin: (connection: RawConnection, call: WireCall, frame: Buffer) => ClientHttp2Stream;
  go(connection: RawConnection, calls: readonly Begun[]): Promise<void>;
}

interface Begun {
  readonly call: WireCall;
  readonly stream: ClientHttp2Stream;
  /** The head of its answer has come, or its end. */
  readonly head: Promise<void>;
}

function begun(call: WireCall, stream: ClientHttp2Stream): Begun {
  return { call, stream, head: new Promise((resolve) => stream.once('response', () => resolve()).once('close', resolve)) };
}

const wholly: Way['begin'] = (connection, call, frame) => connection.send(call.path, frame, call.staysOpen);

/** The first half of the frame; the rest never comes. */
const byHalf: Way['begin'] = (connection, call, frame) => {
  const stream = connection.begin(call.path);
  stream.write(frame.subarray(0, Math.floor(frame.byteLength / 2)));
  return stream;
};

const reset: Way['go'] = (connection) => connection.reset();
const hangUp: Way['go'] = (connection) => connection.hangUp();
const cancelAll: Way['go'] = async (connection, calls) => {
  for (const { stream } of calls) cancel(stream);
  await connection.hangUp();
};

/** Of the calls that are answered at once. */
async function heads(calls: readonly Begun[]): Promise<void> {
  const soon = calls.filter(({ call }) => !(call.parks && call.path.endsWith('/Claim')));
  await Promise.all(soon.map(({ head }) => head));
}

/** Whatever it is that a client does in the middle of its calls. */
const WAYS: Readonly<Record<string, Way>> = {
  cancels: { begin: wholly, go: cancelAll },
  'cancels each at the beginning of its answer': {
    begin: wholly,
    go: async (connection, calls) => {
      for (const { stream, head } of calls) void head.then(() => cancel(stream));
      await connection.heard();
      await cancelAll(connection, calls);
    },
  },
  'resets its connection': { begin: wholly, go: reset },
  'hangs up': { begin: wholly, go: hangUp },
  'takes nothing of the answers and resets its connection': {
    takes: 'nothing',
    begin: wholly,
    go: async (connection, calls) => {
      await heads(calls);
      await connection.reset();
    },
  },
  'takes nothing of the answers and cancels': {
    takes: 'nothing',
    begin: wholly,
    go: async (connection, calls) => {
      await heads(calls);
      await cancelAll(connection, calls);
    },
  },
  'cancels in the middle of its requests': { begin: byHalf, go: cancelAll },
  'resets its connection in the middle of its requests': { begin: byHalf, go: reset },
  'ends its requests in the middle': {
    begin: byHalf,
    go: async (connection, calls) => {
      for (const { stream } of calls) stream.end();
      await connection.heard();
      await connection.hangUp();
    },
  },
};

/**
 * Makes `count` calls, every RPC in turn, and vanishes from each: every way in turn too, after a number of turns that
 * differs. Resolves when the last client has gone.
 */
export async function vanish(address: string, ground: Ground, count: number): Promise<void> {
  const ways = Object.values(WAYS);
  let clients = Math.ceil(count / CALLS_AT_ONCE);
  let number = 0;
  const client = async () => {
    for (let way = ways[(clients -= 1) % ways.length]; clients >= 0 && way !== undefined; way = ways[(clients -= 1) % ways.length]) {
      const connection = await RawConnection.open(address, way.takes);
      const { begin } = way;
      const calls = nextCalls((number += 1)).map((call) => begun(call, begin(connection, call, call.frame(ground))));
      // Some go at once, before the service has heard of anything, and some when it is in the middle.
      if (number % 3 !== 0) await connection.heard();
      for (let turn = ground.count() % TURNS; turn > 0; turn -= 1) await new Promise((resolve) => setImmediate(resolve));
      await way.go(connection, calls);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
}

/** Of the n-th client. */
function nextCalls(client: number): WireCall[] {
  const from = client * CALLS_AT_ONCE;
  return Array.from({ length: CALLS_AT_ONCE }, (_, at) => WIRE_CALLS[(from + at) % WIRE_CALLS.length]).filter((call) => call !== undefined);
}
