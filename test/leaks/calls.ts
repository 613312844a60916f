import { BinaryWriter } from '@bufbuild/protobuf/wire';
import {
  AppendEventRequest,
  AwaitEventRequest,
  EventServiceService,
  ListEventsRequest,
  SubscribeRequest,
} from '../../gen/stint/v1/event_service.ts';
import {
  AwaitJobsRequest,
  AwaitTerminalRequest,
  EnqueueBatchRequest,
  EnqueueRequest,
  GetJobRequest,
  GetServerInfoRequest,
  JobServiceService,
  JobView,
  ListJobsRequest,
} from '../../gen/stint/v1/job_service.ts';
import {
  CheckInvariantsRequest,
  GetQueueRequest,
  PeekQueueRequest,
  QueueServiceService,
  RunUpkeepRequest,
} from '../../gen/stint/v1/queue_service.ts';
import {
  AckRequest,
  ClaimRequest,
  FailRequest,
  HeartbeatRequest,
  ReleaseRequest,
  SettleRequest,
  StartRequest,
  WorkerServiceService,
  WorkRequest,
} from '../../gen/stint/v1/worker_service.ts';
import { seconds } from '../contract/stint.ts';

/** What the calls of a vanishing client act on. */
export interface Ground {
  readonly namespace: string;
  /** Has jobs to claim. */
  readonly queue: string;
  /** A job that nobody ever claims: whoever awaits its end waits. */
  readonly waitingJobId: string;
  /** Another that nobody claims, whose history grows. */
  readonly notedJobId: string;
  /** Of a lease that is live, as long as there are any. */
  leaseToken(): string;
  /** Rises: makes what is enqueued, or asked for, differ. */
  count(): number;
}

/** A call as a client sends it. */
export interface WireCall {
  readonly path: string;
  /** The request in its gRPC frame. */
  frame(ground: Ground): Buffer;
  /** True for a call that waits until something happens, or for a time: a timer of the service tells that it does. */
  readonly parks: boolean;
  /** True for a call whose client may say more: its request does not end it. */
  readonly staysOpen?: boolean;
}

interface Codec<Partial, Request> {
  fromPartial(partial: Partial): Request;
}

function of<Partial, Request>(
  method: { readonly path: string; requestSerialize(request: Request): Buffer },
  codec: Codec<Partial, Request>,
  partial: (ground: Ground) => Partial,
  parks = false,
): WireCall {
  return { path: method.path, frame: (ground) => framed(method.requestSerialize(codec.fromPartial(partial(ground)))), parks };
}

/** Uncompressed, its length, the message. */
export function framed(message: Uint8Array): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt32BE(message.byteLength, 1);
  return Buffer.concat([header, message]);
}

/** Calls of the libraries beside ours, by hand: field 1 of each request is a text. */
function ofLibrary(path: string, field: number, text: (ground: Ground) => string): WireCall {
  const message = (ground: Ground) =>
    new BinaryWriter()
      .uint32((field << 3) | 2)
      .string(text(ground))
      .finish();
  return { path, frame: (ground) => framed(message(ground)), parks: false };
}

const parks = true;
/** Of what only one call has: where a part of a call is kept, the memory tells. */
const KEY_BYTES = 256;
const NAME_LENGTH = 128;
const BODY_BYTES = 4_096;
const own = (what: string, { count }: Ground, length: number) => `${what}-${count()}-`.padEnd(length, '.');
const body = () => Buffer.alloc(BODY_BYTES);
const HOUR = seconds(3_600);
const MINUTE = seconds(60);
const scopes = {
  everything: { $case: 'everything', everything: {} },
  queue: ({ queue }: Ground) => ({ $case: 'queue' as const, queue }),
  job: ({ waitingJobId }: Ground) => ({ $case: 'jobId' as const, jobId: waitingJobId }),
} as const;
const fromBeginning = { $case: 'fromBeginning', fromBeginning: {} } as const;

const jobCalls = [
  of(JobServiceService.enqueue, EnqueueRequest, (ground) => ({
    namespace: ground.namespace,
    job: { queue: ground.queue, payload: body(), idempotencyKey: own('key', ground, KEY_BYTES) },
  })),
  of(JobServiceService.enqueueBatch, EnqueueBatchRequest, ({ namespace, queue }) => ({
    namespace,
    jobs: [{ queue }, { queue, runAt: seconds(Date.now() / 1_000 + 3_600) }],
  })),
  of(JobServiceService.enqueueBatch, EnqueueBatchRequest, ({ namespace, queue }) => ({ namespace, jobs: [{ queue }], atomic: true })),
  of(JobServiceService.getJob, GetJobRequest, ({ namespace, waitingJobId }) => ({
    namespace,
    jobId: waitingJobId,
    view: JobView.FULL,
  })),
  of(JobServiceService.listJobs, ListJobsRequest, ({ namespace, queue }) => ({ namespace, queue, pageSize: 20 })),
  of(JobServiceService.getServerInfo, GetServerInfoRequest, () => ({})),
  of(JobServiceService.awaitTerminal, AwaitTerminalRequest, ({ namespace, waitingJobId: jobId }) => ({ namespace, jobId }), parks),
  of(
    JobServiceService.awaitTerminal,
    AwaitTerminalRequest,
    ({ namespace, waitingJobId: jobId }) => ({ namespace, jobId, includeProgress: true }),
    parks,
  ),
  of(JobServiceService.awaitJobs, AwaitJobsRequest, ({ namespace, waitingJobId }) => ({ namespace, jobIds: [waitingJobId] }), parks),
];

const claimer = (ground: Ground) => ({
  namespace: ground.namespace,
  workerId: own('gone', ground, KEY_BYTES),
  requestId: own('claim', ground, KEY_BYTES),
});

/** Of a worker who goes without another word. */
function session(open: (ground: Ground) => { queues: string[]; credits: number }, waits: boolean): WireCall {
  const request = (ground: Ground) => {
    const { namespace, workerId } = claimer(ground);
    return { request: { $case: 'open' as const, open: { namespace, workerId, ...open(ground) } } };
  };
  return { ...of(WorkerServiceService.work, WorkRequest, request, waits), staysOpen: true };
}

const workerCalls = [
  of(WorkerServiceService.claim, ClaimRequest, (ground) => ({ ...claimer(ground), queues: [ground.queue], maxJobs: 2 })),
  of(WorkerServiceService.claim, ClaimRequest, (ground) => ({ ...claimer(ground), queues: ['nothing'], wait: MINUTE }), parks),
  of(
    WorkerServiceService.claim,
    ClaimRequest,
    (ground) => ({ ...claimer(ground), queues: [own('nothing', ground, NAME_LENGTH)], wait: MINUTE, requestId: '' }),
    parks,
  ),
  of(WorkerServiceService.start, StartRequest, ({ leaseToken }) => ({ leaseToken: leaseToken() })),
  of(WorkerServiceService.heartbeat, HeartbeatRequest, ({ leaseToken }) => ({
    workerId: 'gone',
    leases: [{ leaseToken: leaseToken(), checkpoint: body() }],
  })),
  of(WorkerServiceService.ack, AckRequest, ({ leaseToken }) => ({ leaseToken: leaseToken(), result: body() })),
  of(WorkerServiceService.fail, FailRequest, ({ leaseToken }) => ({
    leaseToken: leaseToken(),
    failure: { details: 'x'.repeat(BODY_BYTES) },
    retryAfter: HOUR,
  })),
  of(WorkerServiceService.release, ReleaseRequest, ({ leaseToken }) => ({ leaseToken: leaseToken(), delay: HOUR })),
  of(WorkerServiceService.settle, SettleRequest, ({ leaseToken }) => ({
    settlements: [{ leaseToken: leaseToken(), action: { $case: 'ack' as const, ack: { result: body() } } }],
  })),
  session((ground) => ({ queues: [ground.queue], credits: 2 }), false),
  session((ground) => ({ queues: [own('nothing', ground, NAME_LENGTH)], credits: 2 }), parks),
];

const eventCalls = [
  of(EventServiceService.listEvents, ListEventsRequest, ({ namespace, waitingJobId: jobId }) => ({ namespace, jobId })),
  of(EventServiceService.awaitEvent, AwaitEventRequest, ({ namespace, waitingJobId: jobId }) => ({ namespace, jobId, type: 'x' }), parks),
  of(EventServiceService.appendEvent, AppendEventRequest, (ground) => ({
    ...{ namespace: ground.namespace, jobId: ground.notedJobId, type: 'fact', data: body() },
    replayKey: own('fact', ground, KEY_BYTES),
  })),
  of(EventServiceService.subscribe, SubscribeRequest, ({ namespace }) => ({ namespace, scope: scopes.everything }), parks),
  of(
    EventServiceService.subscribe,
    SubscribeRequest,
    (ground) => ({ namespace: ground.namespace, scope: scopes.queue(ground), includeProgress: true }),
    parks,
  ),
  of(
    EventServiceService.subscribe,
    SubscribeRequest,
    (ground) => ({ namespace: ground.namespace, scope: scopes.job(ground), start: fromBeginning }),
    parks,
  ),
  of(
    EventServiceService.subscribe,
    SubscribeRequest,
    ({ namespace }) => ({ namespace, scope: scopes.everything, start: fromBeginning }),
    parks,
  ),
];

const queueCalls = [
  of(QueueServiceService.getQueue, GetQueueRequest, ({ namespace, queue }) => ({ namespace, queue })),
  of(QueueServiceService.peekQueue, PeekQueueRequest, ({ namespace, queue }) => ({ namespace, queue, maxJobs: 5 })),
  of(QueueServiceService.runUpkeep, RunUpkeepRequest, () => ({})),
  // What it costs grows with the jobs that it looks at: here it is about the call.
  of(QueueServiceService.checkInvariants, CheckInvariantsRequest, ({ namespace }) => ({ namespace: `${namespace}-empty`, pageSize: 10 })),
];

const LIST_SERVICES = 7;
/** Such a name has no limit but that of a request. */
const LONG_NAME = 32_768;

const libraryCalls = [
  ofLibrary('/grpc.health.v1.Health/Check', 1, () => 'stint.v1.JobService'),
  ofLibrary('/grpc.health.v1.Health/Watch', 1, () => 'stint.v1.JobService'),
  ofLibrary('/grpc.health.v1.Health/Watch', 1, (ground) => own("nobody's", ground, LONG_NAME)),
  ofLibrary('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', LIST_SERVICES, () => '*'),
];

/** Every RPC that is served, some in several shapes. */
export const WIRE_CALLS: readonly WireCall[] = [...jobCalls, ...workerCalls, ...eventCalls, ...queueCalls, ...libraryCalls];
