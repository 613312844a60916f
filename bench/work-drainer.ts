import { once } from 'node:events';
import { credentials, Metadata } from '@grpc/grpc-js';
import { WorkerServiceClient, WorkRequest, type WorkResponse } from '../gen/stint/v1/worker_service.ts';
import { durationOfMs } from '../examples/duration.ts';
import type { Drainer } from './drainer.ts';
import { expectAll } from './expect-all.ts';
import type { Place } from './messages.ts';
import { CONTENT_TYPE, LEASE_MS, RESULT, WORKER_ID } from './payload.ts';
import { queuesOf } from './route.ts';

/** Jobs that a worker holds at once, of so many turns, unless told otherwise. */
const CREDITS = 400;
/** A backlog that gives nothing for so long has run dry: a stream does not say so. */
const DRY_MS = 1_000;

const ack = { result: RESULT, contentType: CONTENT_TYPE };

type Said = NonNullable<WorkResponse['response']>;
type Settled = Extract<Said, { readonly $case: 'settled' }>['settled'];

/**
 * One `Work` session over a connection of its own, which all callers of the route share: a turn takes what is assigned next, and settles it.
 * Settles when the session has begun.
 */
export async function workDrainer({ target, credits = CREDITS, ...place }: Place): Promise<Drainer> {
  const client = new WorkerServiceClient(target, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
  const stream = client.work(new Metadata());
  const assigned: string[][] = [];
  const claims: ((tokens: readonly string[]) => void)[] = [];
  const settles = new Map<string, { readonly resolve: (settled: Settled) => void; readonly reject: (error: Error) => void }>();
  let settleId = 0;
  const say = (request: Parameters<typeof WorkRequest.fromPartial>[0]['request']) => stream.write(WorkRequest.fromPartial({ request }));
  stream.on('data', ({ response }: WorkResponse) => {
    if (response?.$case === 'assigned') {
      const tokens = response.assigned.jobs.map(({ lease }) => lease?.leaseToken ?? '');
      const taker = claims.shift();
      if (taker === undefined) assigned.push(tokens);
      else taker(tokens);
    } else if (response?.$case === 'settled') settles.get(response.settled.id)?.resolve(response.settled);
  });
  stream.on('error', (error) => settles.forEach(({ reject }) => reject(error)));
  const open = { workerId: WORKER_ID, queues: [...queuesOf(place)], credits, leaseDuration: durationOfMs(LEASE_MS) };
  say({ $case: 'open', open });
  await once(stream, 'data');
  return {
    claim: (waitMs) => {
      const ready = assigned.shift();
      if (ready !== undefined) return Promise.resolve(ready);
      return new Promise((resolve) => {
        const give = (tokens: readonly string[]) => {
          clearTimeout(dry);
          resolve(tokens);
        };
        const dry = setTimeout(
          () => {
            claims.splice(claims.indexOf(give), 1);
            resolve([]);
          },
          Math.max(waitMs, DRY_MS),
        );
        claims.push(give);
      });
    },
    settle: async (tokens) => {
      const id = String((settleId += 1));
      const answered = new Promise<Settled>((resolve, reject) => settles.set(id, { resolve, reject }));
      say({ $case: 'settle', settle: { id, settlements: tokens.map((leaseToken) => ({ leaseToken, action: { $case: 'ack', ack } })) } });
      const { results } = await answered;
      settles.delete(id);
      expectAll(results, ({ result }) => result?.$case === 'ack');
    },
    close: async () => {
      stream.end();
      await new Promise((resolve) => stream.once('close', resolve));
      client.close();
    },
  };
}
