import type { Server } from '@grpc/grpc-js';
import type { Engine } from '../engine/engine.ts';
import { ExternalScalerService } from '../../gen/externalscaler/externalscaler.ts';
import { EventServiceService } from '../../gen/stint/v1/event_service.ts';
import { JobServiceService } from '../../gen/stint/v1/job_service.ts';
import { QueueServiceService } from '../../gen/stint/v1/queue_service.ts';
import { WorkerServiceService } from '../../gen/stint/v1/worker_service.ts';
import type { Carriers } from './call.ts';
import { appendEvent } from './events/append-event.ts';
import { awaitEvent } from './events/await-event.ts';
import { listEvents } from './events/list-events.ts';
import { subscribe } from './events/subscribe.ts';
import type { Report } from './handler.ts';
import { awaitJobs } from './jobs/await-jobs.ts';
import { awaitTerminal } from './jobs/await-terminal.ts';
import { cancelJob } from './jobs/cancel-job.ts';
import { cancelJobs } from './jobs/cancel-jobs.ts';
import { completeExternally } from './jobs/complete-externally.ts';
import { enqueueBatch } from './jobs/enqueue-batch.ts';
import { enqueue } from './jobs/enqueue.ts';
import { getJob } from './jobs/get-job.ts';
import { getServerInfo } from './jobs/get-server-info.ts';
import { listAttempts } from './jobs/list-attempts.ts';
import { listJobs } from './jobs/list-jobs.ts';
import { requestAbandon } from './jobs/request-abandon.ts';
import { resumeJob } from './jobs/resume-job.ts';
import { retryJob } from './jobs/retry-job.ts';
import { retryJobs } from './jobs/retry-jobs.ts';
import { updateJob } from './jobs/update-job.ts';
import { applyAction } from './queues/apply-action.ts';
import { checkInvariants } from './queues/check-invariants.ts';
import { getQueueStats } from './queues/get-queue-stats.ts';
import { getQueue } from './queues/get-queue.ts';
import { getSignature } from './queues/get-signature.ts';
import { listAuditRecords } from './queues/list-audit-records.ts';
import { listDeadLetters } from './queues/list-dead-letters.ts';
import { listQueues } from './queues/list-queues.ts';
import { peekQueue } from './queues/peek-queue.ts';
import { prune } from './queues/prune.ts';
import { putQueue } from './queues/put-queue.ts';
import { replayDeadLetters } from './queues/replay-dead-letters.ts';
import { runUpkeep } from './queues/run-upkeep.ts';
import { verifyReplay } from './queues/verify-replay.ts';
import { waitDrained } from './queues/wait-drained.ts';
import { watchQueueStats } from './queues/watch-queue-stats.ts';
import { getMetricSpec } from './scaler/get-metric-spec.ts';
import { getMetrics } from './scaler/get-metrics.ts';
import { isActive } from './scaler/is-active.ts';
import { streamIsActive } from './scaler/stream-is-active.ts';
import { addService, type Handlers, servedMethods } from './service.ts';
import { ack } from './workers/ack.ts';
import { claim } from './workers/claim.ts';
import { fail } from './workers/fail.ts';
import { heartbeat } from './workers/heartbeat.ts';
import { release } from './workers/release.ts';
import { settle } from './workers/settle.ts';
import { start } from './workers/start.ts';
import { suspend } from './workers/suspend.ts';
import { work } from './workers/work.ts';

/** What `grpc.health.v1` tells of, each by its full name. */
export const SERVICE_NAMES = [
  ...['JobService', 'WorkerService', 'EventService', 'QueueService'].map((name) => `stint.v1.${name}`),
  'externalscaler.ExternalScaler',
];

export interface ServicesOptions {
  readonly engine: Engine;
  readonly version: string;
  /** Hears of defects of calls whose clients have gone; of all others tells the end of the call. */
  readonly report: Report;
  /** Of the server's calls. Default: nothing is known of them. */
  readonly carriers?: Carriers;
}

/** Puts the services on the server. An RPC that stands in none of the lists answers UNIMPLEMENTED with its name. */
export function addServices(server: Server, { engine, version, report, carriers }: ServicesOptions): void {
  const jobs: Handlers<typeof JobServiceService> = {
    enqueue: enqueue(engine),
    enqueueBatch: enqueueBatch(engine),
    getJob: getJob(engine),
    listJobs: listJobs(engine),
    listAttempts: listAttempts(engine),
    cancelJob: cancelJob(engine),
    updateJob: updateJob(engine),
    retryJob: retryJob(engine),
    resumeJob: resumeJob(engine),
    requestAbandon: requestAbandon(engine),
    completeExternally: completeExternally(engine),
    cancelJobs: cancelJobs(engine),
    retryJobs: retryJobs(engine),
    awaitTerminal: awaitTerminal(engine),
    awaitJobs: awaitJobs(engine),
    getServerInfo: getServerInfo(engine, () => ({ version, capabilities })),
  };
  const workers: Handlers<typeof WorkerServiceService> = {
    claim: claim(engine),
    start: start(engine),
    heartbeat: heartbeat(engine),
    ack: ack(engine),
    fail: fail(engine),
    release: release(engine),
    suspend: suspend(engine),
    settle: settle(engine),
    work: work(engine),
  };
  const events: Handlers<typeof EventServiceService> = {
    subscribe: subscribe(engine),
    listEvents: listEvents(engine),
    awaitEvent: awaitEvent(engine),
    appendEvent: appendEvent(engine),
  };
  const queues: Handlers<typeof QueueServiceService> = {
    putQueue: putQueue(engine),
    getQueue: getQueue(engine),
    listQueues: listQueues(engine),
    applyAction: applyAction(engine),
    listAuditRecords: listAuditRecords(engine),
    waitDrained: waitDrained(engine),
    getQueueStats: getQueueStats(engine),
    watchQueueStats: watchQueueStats(engine),
    checkInvariants: checkInvariants(engine),
    verifyReplay: verifyReplay(engine),
    getSignature: getSignature(engine),
    peekQueue: peekQueue(engine),
    listDeadLetters: listDeadLetters(engine),
    replayDeadLetters: replayDeadLetters(engine),
    prune: prune(engine),
    runUpkeep: runUpkeep(engine),
  };
  const scaler = scalerHandlers(engine);
  const capabilities = [
    ...servedMethods(JobServiceService, jobs),
    ...servedMethods(WorkerServiceService, workers),
    ...servedMethods(EventServiceService, events),
    ...servedMethods(QueueServiceService, queues),
    ...servedMethods(ExternalScalerService, scaler),
  ];
  addService(server, JobServiceService, jobs, report, carriers);
  addService(server, WorkerServiceService, workers, report, carriers);
  addService(server, EventServiceService, events, report, carriers);
  addService(server, QueueServiceService, queues, report, carriers);
  addService(server, ExternalScalerService, scaler, report, carriers);
}

/** Not StreamMetricSpec: what it would tell comes from the trigger alone, and changes with it alone. KEDA does without it. */
function scalerHandlers(engine: Engine): Handlers<typeof ExternalScalerService> {
  return {
    isActive: isActive(engine),
    streamIsActive: streamIsActive(engine),
    getMetricSpec: getMetricSpec(),
    getMetrics: getMetrics(engine),
  };
}
