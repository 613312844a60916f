/** What the programs of a `RestartClient` do until they are told to leave: each throws what no restart may cause. */
import { randomUUID } from 'node:crypto';
import { AwaitTerminalRequest, type AwaitTerminalResponse, EnqueueRequest } from '../../gen/stint/v1/job_service.ts';
import { SubscribeRequest, type SubscribeResponse } from '../../gen/stint/v1/event_service.ts';
import { JobState } from '../../gen/stint/v1/job.ts';
import { ClaimRequest, type ClaimedJob, SettleRequest, type WorkResponse, WorkRequest } from '../../gen/stint/v1/worker_service.ts';
import { seconds, uuidV7 } from '../contract/stint.ts';
import type { RestartClient } from './restart-client.ts';

const LEASE = seconds(10);
const WAIT = seconds(2);
const CLAIMED_AT_ONCE = 10;
const CREDITS = 10;

/** Enqueues, and awaits each job that was answered for; adds those that have succeeded. */
export async function produce(client: RestartClient, ended: Set<string>, leaving: AbortSignal): Promise<void> {
  const { jobs, queue } = client;
  while (!leaving.aborted) {
    const jobId = uuidV7();
    await client.ask(jobs.enqueue.bind(jobs), EnqueueRequest.fromPartial({ job: { queue, jobId, payload: Buffer.from(jobId) } }));
    const job = await endOf(client, jobId);
    if (job.state !== JobState.SUCCEEDED || Buffer.from(job.result ?? '').toString() !== jobId) {
      throw new Error(`job ${jobId} ended otherwise: ${JSON.stringify(job.state)} ${job.attempt}`);
    }
    ended.add(jobId);
  }
}

async function endOf(client: RestartClient, jobId: string) {
  for (;;) {
    const told: AwaitTerminalResponse[] = [];
    const stream = client.jobs.awaitTerminal(AwaitTerminalRequest.fromPartial({ jobId }));
    stream.on('data', (message: AwaitTerminalResponse) => told.push(message));
    await over(stream).catch((error: unknown) => client.bear(error));
    const last = told.at(-1);
    if (last?.terminal === true && last.job !== undefined) return last.job;
  }
}

/** By unary calls. */
export async function claim(client: RestartClient, workerId: string, leaving: AbortSignal): Promise<void> {
  const { workers, queue } = client;
  while (!leaving.aborted) {
    const wanted = { workerId, queues: [queue], maxJobs: CLAIMED_AT_ONCE, wait: WAIT, leaseDuration: LEASE, requestId: randomUUID() };
    const { jobs } = await client.ask(workers.claim.bind(workers), ClaimRequest.fromPartial(wanted));
    if (jobs.length === 0) continue;
    const { results } = await client.ask(workers.settle.bind(workers), SettleRequest.fromPartial({ settlements: jobs.map(acked) }));
    for (const { result } of results) if (result?.$case !== 'ack') throw new Error(`refused: ${JSON.stringify(result)}`);
  }
}

/** Over one stream after the other, as docs/work.md has it: what was not answered on one is settled again on the next. */
export async function stream(client: RestartClient, workerId: string, leaving: AbortSignal): Promise<void> {
  const unanswered = new Map<string, readonly ClaimedJob[]>();
  while (!leaving.aborted || unanswered.size > 0) {
    const work = client.workers.work();
    const say = (request: Parameters<typeof WorkRequest.fromPartial>[0]['request']) =>
      void work.write(WorkRequest.fromPartial({ request }));
    const settle = (id: string, jobs: readonly ClaimedJob[]) => {
      unanswered.set(id, jobs);
      say({ $case: 'settle', settle: { id, settlements: jobs.map(acked) } });
    };
    const leave = () => work.end();
    leaving.addEventListener('abort', leave);
    work.on('data', ({ response }: WorkResponse) => {
      if (response?.$case === 'assigned') settle(randomUUID(), response.assigned.jobs);
      if (response?.$case === 'reconnect') {
        client.note(`reconnect ${response.reconnect.reason}`);
        work.end();
      }
      if (response?.$case !== 'settled') return;
      unanswered.delete(response.settled.id);
      if (!response.settled.results.every(({ result }) => result?.$case === 'ack'))
        work.destroy(new Error(JSON.stringify(response.settled)));
    });
    say({ $case: 'open', open: { workerId, queues: [client.queue], credits: leaving.aborted ? 0 : CREDITS, leaseDuration: LEASE } });
    for (const [id, jobs] of unanswered) settle(id, jobs);
    if (leaving.aborted) leave();
    await over(work).catch((error: unknown) => client.bear(error));
    leaving.removeEventListener('abort', leave);
    work.end();
  }
}

function acked(job: ClaimedJob) {
  return { leaseToken: job.lease?.leaseToken ?? '', action: { $case: 'ack', ack: { result: job.payload } } } as const;
}

/** What was told of each job, in order and without a gap; told again only behind a stream that broke. */
export class Follower {
  readonly #client: RestartClient;
  readonly #sequences = new Map<string, bigint>();
  readonly #claimed = new Map<string, bigint>();
  readonly #changed = new Set<() => void>();
  /** Jobs whose one end was told, by the fence of the last claim. */
  readonly ended = new Set<string>();
  #problem: Error | null = null;

  constructor(client: RestartClient) {
    this.#client = client;
  }

  async follow(leaving: AbortSignal): Promise<void> {
    let cursor = '';
    while (!leaving.aborted && this.#problem === null) {
      const from = cursor === '' ? ({ $case: 'fromBeginning', fromBeginning: {} } as const) : ({ $case: 'cursor', cursor } as const);
      const scope = { $case: 'queue', queue: this.#client.queue } as const;
      const followed = this.#client.events.subscribe(SubscribeRequest.fromPartial({ scope, start: from }));
      const leave = () => followed.cancel();
      leaving.addEventListener('abort', leave);
      followed.on('data', (message: SubscribeResponse) => {
        for (const event of message.events) this.#hear(event);
        ({ cursor } = message);
        if (message.reconnect !== undefined) this.#client.note(`reconnect ${message.reconnect.reason}`);
      });
      await over(followed).catch((error: unknown) => (leaving.aborted ? undefined : this.#client.bear(error)));
      leaving.removeEventListener('abort', leave);
    }
    if (this.#problem !== null) throw this.#problem;
  }

  /** Once all of these have ended, by what is told. */
  async heardOf(jobIds: ReadonlySet<string>): Promise<void> {
    while ([...jobIds].some((jobId) => !this.ended.has(jobId))) await new Promise<void>((resolve) => this.#changed.add(resolve));
  }

  #hear({ jobId, sequence, type, fence }: SubscribeResponse['events'][number]): void {
    const told = this.#sequences.get(jobId) ?? 0n;
    if (sequence <= told) return;
    if (sequence !== told + 1n) this.#problem ??= new Error(`events of ${jobId} skip from ${told} to ${sequence}`);
    this.#sequences.set(jobId, sequence);
    if (type === 'claimed') this.#claimed.set(jobId, fence);
    if (type !== 'succeeded') return;
    if (this.ended.has(jobId)) this.#problem ??= new Error(`${jobId} ended twice`);
    if (this.#claimed.get(jobId) !== fence) this.#problem ??= new Error(`${jobId} ended by another fence than that of its last claim`);
    this.ended.add(jobId);
    for (const resolve of this.#changed) resolve();
    this.#changed.clear();
  }
}

function over(ended: { on(event: 'end', listener: () => void): unknown; on(event: 'error', listener: (error: Error) => void): unknown }) {
  return new Promise<void>((resolve, reject) => {
    ended.on('end', () => resolve());
    ended.on('error', reject);
  });
}
