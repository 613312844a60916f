// Everything that happens in a namespace, appended to a file as it happens. The cursor stands in the file, with the events it
// belongs to: killed at any moment and started again, the file has every event once.
//
//   npm run follow -- FILE [--address HOST:PORT] [--namespace NAME] [--queue NAME] [--from-oldest]
//
// A new file begins with the oldest event that the service still has. Where it does not have what comes next for the file any more, this
// stops and says so; --from-oldest goes on with what there is.
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type ClientReadableStream, credentials, status } from '@grpc/grpc-js';
import { EventServiceClient, SubscribeRequest, type SubscribeResponse } from '../gen/stint/v1/event_service.ts';
import { ReconnectReason } from '../gen/stint/v1/reconnect.ts';
import { isPassing, statusOf } from './call.ts';
import { EventFile } from './event-file.ts';

const firstPauseMs = 50;
const longestPauseMs = 5_000;
/** How soon a service that vanished without a word is noticed. */
const keepalive = { 'grpc.keepalive_time_ms': 30_000, 'grpc.keepalive_timeout_ms': 10_000, 'grpc.keepalive_permit_without_calls': 1 };

const { path, address, namespace, queue, fromOldest } = readArguments();
const service = new EventServiceClient(address, credentials.createInsecure(), keepalive);
const file = await EventFile.open(path);
const leaving = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => leaving.abort());

let anew = false;
let pauseMs = firstPauseMs;
while (!leaving.signal.aborted) {
  try {
    const reason = await follow(anew ? null : file.cursor);
    // A stream may end without a word too; either way the next one goes on from the cursor, on whatever replica answers.
    if (reason === ReconnectReason.HISTORY_ENDED) beginAnew('the database was restored or failed over');
  } catch (error) {
    if (leaving.signal.aborted) break;
    if (statusOf(error) === status.OUT_OF_RANGE) beginAnew(String(error));
    else if (statusOf(error) === status.INVALID_ARGUMENT) refused(String(error));
    else if (!isPassing(error)) throw error;
  }
  // By chance, so that many who lost the same service do not come back together.
  await pause(pauseMs * (0.5 + Math.random() / 2), undefined, { signal: leaving.signal }).catch(() => undefined);
  pauseMs = Math.min(2 * pauseMs, longestPauseMs);
}
await file.close();
service.close();

/** Until the stream ends, for the reason given in its last message. */
async function follow(cursor: string | null): Promise<ReconnectReason | null> {
  const stream = service.subscribe(
    SubscribeRequest.fromPartial({
      namespace,
      scope: queue === undefined ? { $case: 'everything', everything: {} } : { $case: 'queue', queue },
      start: cursor === null ? { $case: 'fromBeginning', fromBeginning: {} } : { $case: 'cursor', cursor },
    }),
  );
  const cancel = () => stream.cancel();
  leaving.signal.addEventListener('abort', cancel, { once: true });
  try {
    return await writeDown(stream);
  } finally {
    leaving.signal.removeEventListener('abort', cancel);
    stream.cancel();
  }
}

/** The next message is read when the one before it is on disk: a slow disk slows the service's stream, and fills no memory here. */
async function writeDown(stream: ClientReadableStream<SubscribeResponse>): Promise<ReconnectReason | null> {
  const messages: AsyncIterable<SubscribeResponse> = stream;
  for await (const { events, cursor, reconnect } of messages) {
    await file.append(events, cursor);
    anew = false;
    pauseMs = firstPauseMs;
    if (reconnect !== undefined) return reconnect.reason;
  }
  return null;
}

/** What comes next for the file is gone for good: never passed over in silence. */
function beginAnew(why: string): void {
  console.error(`follow: ${path} cannot be continued without a gap: ${why}`);
  if (!fromOldest) {
    console.error('follow: stopped. With --from-oldest it goes on with the oldest event there is; what it has already may come once more.');
    process.exit(3);
  }
  anew = true;
}

/** As for a file that was begun with another --namespace or --queue: its cursor is of those. */
function refused(why: string): never {
  console.error(`follow: the service does not take what ${path} asks for, which may be of another namespace or queue: ${why}`);
  return process.exit(2);
}

function readArguments() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        address: { type: 'string', default: '127.0.0.1:50051' },
        namespace: { type: 'string', default: 'default' },
        queue: { type: 'string' },
        'from-oldest': { type: 'boolean', default: false },
      },
    });
    const [path] = positionals;
    if (path !== undefined && positionals.length === 1) return { ...values, path, queue: values.queue, fromOldest: values['from-oldest'] };
  } catch {
    // As for a missing file name.
  }
  console.error('usage: follow FILE [--address HOST:PORT] [--namespace NAME] [--queue NAME] [--from-oldest]');
  return process.exit(2);
}
