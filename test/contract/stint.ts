import { randomUUID } from 'node:crypto';
import {
  type CallOptions,
  Channel,
  type ClientReadableStream,
  type ClientUnaryCall,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import type { Event } from '../../gen/stint/v1/event.ts';
import {
  AppendEventRequest,
  AwaitEventRequest,
  EventServiceClient,
  ListEventsRequest,
  SubscribeRequest,
  type SubscribeResponse,
} from '../../gen/stint/v1/event_service.ts';
import type { Job } from '../../gen/stint/v1/job.ts';
import {
  AwaitJobsRequest,
  AwaitTerminalRequest,
  CancelJobRequest,
  CancelJobsRequest,
  CompleteExternallyRequest,
  EnqueueBatchRequest,
  EnqueueRequest,
  GetJobRequest,
  GetServerInfoRequest,
  JobServiceClient,
  ListAttemptsRequest,
  ListJobsRequest,
  RequestAbandonRequest,
  ResumeJobRequest,
  RetryJobRequest,
  RetryJobsRequest,
  UpdateJobRequest,
} from '../../gen/stint/v1/job_service.ts';
import {
  ApplyActionRequest,
  CheckInvariantsRequest,
  GetQueueRequest,
  GetQueueStatsRequest,
  GetSignatureRequest,
  ListAuditRecordsRequest,
  ListDeadLettersRequest,
  ListQueuesRequest,
  PeekQueueRequest,
  PruneRequest,
  PutQueueRequest,
  QueueServiceClient,
  ReplayDeadLettersRequest,
  RunUpkeepRequest,
  VerifyReplayRequest,
  WaitDrainedRequest,
  WatchQueueStatsRequest,
} from '../../gen/stint/v1/queue_service.ts';
import {
  AckRequest,
  type ClaimedJob,
  ClaimRequest,
  FailRequest,
  HeartbeatRequest,
  ReleaseRequest,
  SettleRequest,
  StartRequest,
  SuspendRequest,
  WorkerServiceClient,
} from '../../gen/stint/v1/worker_service.ts';
import { openStatus, richStatus } from '../support/rich-status.ts';

/** Nothing here takes long; what hangs shall fail by name and not by the test runner's clock. */
const CALL_DEADLINE_MS = 15_000;

type UnaryMethod<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  done: (error: ServiceError | null, response: Response) => void,
) => ClientUnaryCall;

interface Codec<Partial, Request> {
  fromPartial(partial: Partial): Request;
}

function unary<Partial, Request, Response>(codec: Codec<Partial, Request>, method: UnaryMethod<Request, Response>) {
  return (partial: Partial, deadlineMs = CALL_DEADLINE_MS) =>
    new Promise<Response>((resolve, reject) => {
      method(codec.fromPartial(partial), new Metadata(), { deadline: Date.now() + deadlineMs }, (error, response) =>
        error === null ? resolve(response) : reject(error),
      );
    });
}

/**
 * A client of every RPC that a test needs, over gRPC alone. `address` is HOST:PORT, or several of them with IPv4 addresses,
 * divided by commas: then each call, of whatever service, goes to the next.
 */
export function connect(address: string) {
  const insecure = credentials.createInsecure();
  const channel = new Channel(address.includes(',') ? `ipv4:${address}` : address, insecure, {
    'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
  });
  const options = { channelOverride: channel };
  const jobs = new JobServiceClient(address, insecure, options);
  const workers = new WorkerServiceClient(address, insecure, options);
  const events = new EventServiceClient(address, insecure, options);
  const queues = new QueueServiceClient(address, insecure, options);
  return {
    raw: { jobs, workers, events, queues },
    enqueue: unary(EnqueueRequest, jobs.enqueue.bind(jobs)),
    enqueueBatch: unary(EnqueueBatchRequest, jobs.enqueueBatch.bind(jobs)),
    getJob: unary(GetJobRequest, jobs.getJob.bind(jobs)),
    listJobs: unary(ListJobsRequest, jobs.listJobs.bind(jobs)),
    listAttempts: unary(ListAttemptsRequest, jobs.listAttempts.bind(jobs)),
    cancelJobs: unary(CancelJobsRequest, jobs.cancelJobs.bind(jobs)),
    retryJobs: unary(RetryJobsRequest, jobs.retryJobs.bind(jobs)),
    cancelJob: unary(CancelJobRequest, jobs.cancelJob.bind(jobs)),
    updateJob: unary(UpdateJobRequest, jobs.updateJob.bind(jobs)),
    retryJob: unary(RetryJobRequest, jobs.retryJob.bind(jobs)),
    resumeJob: unary(ResumeJobRequest, jobs.resumeJob.bind(jobs)),
    requestAbandon: unary(RequestAbandonRequest, jobs.requestAbandon.bind(jobs)),
    completeExternally: unary(CompleteExternallyRequest, jobs.completeExternally.bind(jobs)),
    getServerInfo: unary(GetServerInfoRequest, jobs.getServerInfo.bind(jobs)),
    awaitTerminal: (partial: Parameters<typeof AwaitTerminalRequest.fromPartial>[0], deadlineMs = CALL_DEADLINE_MS) =>
      new Follower(jobs.awaitTerminal(AwaitTerminalRequest.fromPartial(partial), { deadline: Date.now() + deadlineMs })),
    awaitJobs: (partial: Parameters<typeof AwaitJobsRequest.fromPartial>[0], deadlineMs = CALL_DEADLINE_MS) =>
      new Follower(jobs.awaitJobs(AwaitJobsRequest.fromPartial(partial), { deadline: Date.now() + deadlineMs })),
    claim: unary(ClaimRequest, workers.claim.bind(workers)),
    start: unary(StartRequest, workers.start.bind(workers)),
    heartbeat: unary(HeartbeatRequest, workers.heartbeat.bind(workers)),
    ack: unary(AckRequest, workers.ack.bind(workers)),
    fail: unary(FailRequest, workers.fail.bind(workers)),
    release: unary(ReleaseRequest, workers.release.bind(workers)),
    suspend: unary(SuspendRequest, workers.suspend.bind(workers)),
    settle: unary(SettleRequest, workers.settle.bind(workers)),
    subscribe: (partial: Parameters<typeof SubscribeRequest.fromPartial>[0], deadlineMs = CALL_DEADLINE_MS) =>
      new Follower(events.subscribe(SubscribeRequest.fromPartial(partial), { deadline: Date.now() + deadlineMs })),
    listEvents: unary(ListEventsRequest, events.listEvents.bind(events)),
    appendEvent: unary(AppendEventRequest, events.appendEvent.bind(events)),
    awaitEvent: (partial: Parameters<typeof AwaitEventRequest.fromPartial>[0], deadlineMs = CALL_DEADLINE_MS) =>
      new Follower(events.awaitEvent(AwaitEventRequest.fromPartial(partial), { deadline: Date.now() + deadlineMs })),
    getSignature: unary(GetSignatureRequest, queues.getSignature.bind(queues)),
    putQueue: unary(PutQueueRequest, queues.putQueue.bind(queues)),
    listQueues: unary(ListQueuesRequest, queues.listQueues.bind(queues)),
    applyAction: unary(ApplyActionRequest, queues.applyAction.bind(queues)),
    listAuditRecords: unary(ListAuditRecordsRequest, queues.listAuditRecords.bind(queues)),
    waitDrained: (partial: Parameters<typeof WaitDrainedRequest.fromPartial>[0], deadlineMs = CALL_DEADLINE_MS) =>
      new Follower(queues.waitDrained(WaitDrainedRequest.fromPartial(partial), { deadline: Date.now() + deadlineMs })),
    getQueueStats: unary(GetQueueStatsRequest, queues.getQueueStats.bind(queues)),
    watchQueueStats: (partial: Parameters<typeof WatchQueueStatsRequest.fromPartial>[0], deadlineMs = CALL_DEADLINE_MS) =>
      new Follower(queues.watchQueueStats(WatchQueueStatsRequest.fromPartial(partial), { deadline: Date.now() + deadlineMs })),
    getQueue: unary(GetQueueRequest, queues.getQueue.bind(queues)),
    peekQueue: unary(PeekQueueRequest, queues.peekQueue.bind(queues)),
    listDeadLetters: unary(ListDeadLettersRequest, queues.listDeadLetters.bind(queues)),
    replayDeadLetters: unary(ReplayDeadLettersRequest, queues.replayDeadLetters.bind(queues)),
    checkInvariants: unary(CheckInvariantsRequest, queues.checkInvariants.bind(queues)),
    verifyReplay: unary(VerifyReplayRequest, queues.verifyReplay.bind(queues)),
    prune: unary(PruneRequest, queues.prune.bind(queues)),
    runUpkeep: unary(RunUpkeepRequest, queues.runUpkeep.bind(queues)),
    /** Resolves once a replica is connected: after one was away, a call may find the channel between two tries to reach it again. */
    connected: () =>
      new Promise<void>((resolve, reject) => {
        jobs.waitForReady(Date.now() + CALL_DEADLINE_MS, (error) => (error === undefined ? resolve() : reject(error)));
      }),
    close: () => channel.close(),
  };
}

export type Stint = ReturnType<typeof connect>;

/** A server stream, read one message at a time. */
export class Follower<Message> {
  readonly #stream: ClientReadableStream<Message>;
  readonly #messages: AsyncIterator<Message>;

  constructor(stream: ClientReadableStream<Message>) {
    this.#stream = stream;
    // A stream that nobody reads any more ends with an error that nobody waits for.
    stream.on('error', () => undefined);
    this.#messages = stream[Symbol.asyncIterator]();
  }

  async next(): Promise<Message> {
    const { done, value } = await this.#messages.next();
    if (done === true) throw new Error('the stream has ended');
    return value;
  }

  /** What is left until the server ends the stream with OK. */
  async rest(): Promise<Message[]> {
    const messages: Message[] = [];
    for (let step = await this.#messages.next(); step.done !== true; step = await this.#messages.next()) messages.push(step.value);
    return messages;
  }

  cancel(): void {
    this.#stream.cancel();
  }
}

/** Events as they come, with the cursor after the last one. */
export async function collect(follower: Follower<SubscribeResponse>, isEnough: (events: readonly Event[]) => boolean) {
  const events: Event[] = [];
  let cursor = '';
  while (!isEnough(events)) {
    const message = await follower.next();
    events.push(...message.events);
    ({ cursor } = message);
  }
  follower.cancel();
  return { events, cursor };
}

export interface Held {
  readonly claimed: ClaimedJob;
  readonly job: Job;
  readonly jobId: string;
  readonly leaseToken: string;
}

export function held(claimed: ClaimedJob | undefined): Held {
  if (claimed?.job === undefined || claimed.lease === undefined) throw new Error('nothing was claimed');
  return { claimed, job: claimed.job, jobId: claimed.job.jobId, leaseToken: claimed.lease.leaseToken };
}

/** What a call fails with. */
async function failureOf(call: Promise<unknown>): Promise<ServiceError> {
  const error = await call.then(
    () => Promise.reject(new Error('the call was accepted')),
    (cause: unknown) => cause,
  );
  if (!isServiceError(error)) throw error;
  return error;
}

/** The name of the code that a call fails with, whoever says so. */
export async function codeOf(call: Promise<unknown>): Promise<string> {
  return status[(await failureOf(call)).code];
}

/** The rich status that a call is refused with. */
export async function refusal(call: Promise<unknown>) {
  return richStatus(await failureOf(call));
}

/** Code and reason, as the table of errors has them. */
export async function reasonOf(call: Promise<unknown>): Promise<string> {
  const { code, info } = await refusal(call);
  return `${status[code]}/${info?.reason}`;
}

export function itemReason(error: Parameters<typeof openStatus>[0]): string {
  const { code, info } = openStatus(error);
  return `${status[code]}/${info?.reason}`;
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'metadata' in error && error.metadata instanceof Metadata;
}

export function seconds(value: number) {
  return { seconds: BigInt(Math.floor(value)), nanos: Math.round((value % 1) * 1e9) };
}

/** A time or a duration of the wire as one number, to calculate with. */
export function micros(time: { readonly seconds: bigint; readonly nanos: number } | undefined): number {
  return time === undefined ? Number.NaN : Number(time.seconds) * 1_000_000 + time.nanos / 1_000;
}

/** A time of the wire, this many seconds from now by the test's clock. */
export function fromNow(offsetSeconds: number) {
  return seconds(Date.now() / 1_000 + offsetSeconds);
}

export function uuidV7(timeMs = Date.now()): string {
  const time = Math.floor(timeMs).toString(16).padStart(12, '0');
  const random = randomUUID();
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(15)}`;
}
