// The client that costs little, as the bench tells it: passes on to a program in Go what it has made ready.
//
//   cheap-client.js PROGRAM
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { EnqueueRequest } from '../gen/stint/v1/job_service.ts';
import { AckRequest, ClaimRequest } from '../gen/stint/v1/worker_service.ts';
import { durationOfMs } from '../examples/duration.ts';
import { type Running, serveLoads } from './load-process.ts';
import { type Task, turnTimesMs } from './messages.ts';
import { CONTENT_TYPE, JOB_TYPE, LEASE_MS, PAYLOAD, RESULT, WORKER_ID } from './payload.ts';

const [program = ''] = process.argv.slice(2);

/** ClaimResponse.jobs, ClaimedJob.lease, Lease.lease_token. */
const TOKEN_PATH = [1, 3, 1];
/** AckResponse.claimed, and on from there. */
const NEXT_TOKEN_PATH = [3, ...TOKEN_PATH];

const cheapMark = z.object({ jobs: z.int(), ranDry: z.boolean() });

/** The messages of unary calls, as they go over the wire. */
function orderOf({ target, queue, load, callers, through }: Task): string {
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');
  const job = { queue, type: JOB_TYPE, payload: PAYLOAD, contentType: CONTENT_TYPE };
  const wish = { workerId: WORKER_ID, queues: [queue], maxJobs: 1, wait: durationOfMs(0), leaseDuration: durationOfMs(LEASE_MS) };
  const ack = { result: RESULT, contentType: CONTENT_TYPE, ...(through === 'next' && { next: wish }) };
  return JSON.stringify({
    target,
    load,
    callers,
    enqueue: base64(EnqueueRequest.encode(EnqueueRequest.fromPartial({ job })).finish()),
    claim: base64(ClaimRequest.encode(ClaimRequest.fromPartial(wish)).finish()),
    ack: base64(AckRequest.encode(AckRequest.fromPartial(ack)).finish()),
    tokenTag: base64(
      AckRequest.encode(AckRequest.fromPartial({ leaseToken: '-' }))
        .finish()
        .subarray(0, 1),
    ),
    tokenPath: TOKEN_PATH,
    nextTokenPath: NEXT_TOKEN_PATH,
  });
}

async function start(task: Task): Promise<Running> {
  if (task.batch !== 1 || !['enqueue', 'claim-settle'].includes(task.load)) throw new Error('the cheap client makes unary calls only');
  const child = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] });
  const answers = createInterface(child.stdout)[Symbol.asyncIterator]();
  const ask = async (line: string): Promise<unknown> => {
    child.stdin.write(`${line}\n`);
    const { done, value } = await answers.next();
    if (done === true) throw new Error('the cheap client ended: see above');
    return JSON.parse(value);
  };
  await ask(orderOf(task));
  return {
    mark: async () => {
      const counted = cheapMark.parse(await ask('mark'));
      return { atMs: performance.now(), ...counted };
    },
    stop: async () => {
      const times = turnTimesMs.parse(await ask('stop'));
      const ended = once(child, 'exit');
      child.stdin.end();
      await ended;
      return times;
    },
  };
}

serveLoads({ layIn: () => Promise.reject(new Error('the cheap client lays nothing in')), start });
