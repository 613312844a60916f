import { EventEmitter } from 'node:events';
import { Metadata } from '@grpc/grpc-js';
import { type Job, parseJobId } from '../../src/domain/job.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { Call } from '../../src/grpc/call.ts';

const unexpected = (): never => {
  throw new Error('the engine was reached');
};

const untouched: Engine = {
  jobs: {
    enqueue: unexpected,
    enqueueBatch: unexpected,
    getJob: unexpected,
    listJobs: unexpected,
    listAttempts: unexpected,
    cancelJob: unexpected,
    updateJob: unexpected,
    retryJob: unexpected,
    resumeJob: unexpected,
    requestAbandon: unexpected,
    completeExternally: unexpected,
    cancelJobs: unexpected,
    retryJobs: unexpected,
    awaitTerminal: unexpected,
    awaitJobs: unexpected,
  },
  workers: {
    claim: unexpected,
    start: unexpected,
    heartbeat: unexpected,
    ack: unexpected,
    fail: unexpected,
    release: unexpected,
    suspend: unexpected,
    settle: unexpected,
    work: unexpected,
  },
  events: { subscribe: unexpected, listEvents: unexpected, awaitEvent: unexpected, appendEvent: unexpected },
  queues: {
    putQueue: unexpected,
    getQueue: unexpected,
    listQueues: unexpected,
    applyAction: unexpected,
    listAudit: unexpected,
    waitDrained: unexpected,
    getQueueStats: unexpected,
    watchQueueStats: unexpected,
    getSignature: unexpected,
    peekQueue: unexpected,
    listDeadLetters: unexpected,
    replayDeadLetters: unexpected,
    checkInvariants: unexpected,
    verifyReplay: unexpected,
    prune: unexpected,
    runUpkeep: unexpected,
  },
  scaler: { queueLoad: unexpected, streamIsActive: unexpected },
  databaseTime: unexpected,
  drain: unexpected,
};

type Parts = { readonly [Room in 'jobs' | 'workers' | 'events' | 'queues']?: Partial<Engine[Room]> };

/** An engine of which only the given parts may be reached. */
export function stubEngine(parts: Parts = {}): Engine {
  return {
    ...untouched,
    jobs: { ...untouched.jobs, ...parts.jobs },
    workers: { ...untouched.workers, ...parts.workers },
    events: { ...untouched.events, ...parts.events },
    queues: { ...untouched.queues, ...parts.queues },
  };
}

/** A call as the transport would hand it over. */
export class StubCall extends EventEmitter {
  cancelled = false;
  readonly metadata = new Metadata();
  readonly #deadline: number;

  constructor(remainingMs = Number.POSITIVE_INFINITY) {
    super();
    this.#deadline = Date.now() + remainingMs;
  }

  getDeadline(): number {
    return this.#deadline;
  }

  getPeer(): string {
    return '127.0.0.1:4242';
  }

  cancel(): void {
    this.cancelled = true;
    this.emit('cancelled');
  }
}

export const anyCall = () => new Call(new StubCall());

export const jobId = parseJobId('0199c2f4-6a3e-7c1b-9d55-0c1f6f0a7b21') ?? unexpected();

export const job: Job = {
  namespace: 'default',
  queue: 'mail',
  jobId,
  type: 'send',
  state: 'READY',
  priority: 0,
  life: 1,
  attempt: 0,
  maxAttempts: 10,
  fence: 0n,
  runAt: null,
  createdAt: 1_700_000_000_123_456,
  startedAt: null,
  finishedAt: null,
  lastSequence: 1,
  contentType: 'text/plain',
  result: null,
  resultContentType: '',
  failure: null,
  idempotencyKey: '',
  concurrencyKey: '',
  fairnessKey: '',
  labels: {},
  headers: {},
  workerId: '',
  leaseExpiresAt: null,
  disposition: 'RERUNNABLE',
  asked: null,
};
