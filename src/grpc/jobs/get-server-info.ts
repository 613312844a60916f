import { LIMITS } from '../../domain/limits.ts';
import { DEFAULT_SETTINGS } from '../../domain/queue.ts';
import type { Engine } from '../../engine/engine.ts';
import type { JobServiceService, Limits } from '../../../gen/stint/v1/job_service.ts';
import { duration, timestamp } from '../encode.ts';
import { DEFAULT_PAGE_ITEMS } from '../page-token.ts';
import type { MethodHandler } from '../service.ts';

export interface ServerInfo {
  readonly version: string;
  /** Full names of the RPCs that are served. */
  readonly capabilities: readonly string[];
}

export function getServerInfo(engine: Engine, info: () => ServerInfo): MethodHandler<typeof JobServiceService.getServerInfo> {
  return async () => {
    const { version, capabilities } = info();
    return { version, limits: WIRE_LIMITS, capabilities: [...capabilities], databaseTime: timestamp(await engine.databaseTime()) };
  };
}

const WIRE_LIMITS: Limits = {
  maxPayloadBytes: LIMITS.payloadBytes,
  maxResultBytes: LIMITS.resultBytes,
  maxHeadersAndLabelsBytes: LIMITS.headersAndLabelsBytes,
  maxCheckpointBytes: LIMITS.checkpointBytes,
  maxEventDataBytes: LIMITS.eventDataBytes,
  maxKeyBytes: LIMITS.keyBytes,
  namePattern: `[A-Za-z0-9._-]{1,${LIMITS.nameLength}}`,
  maxRequestBytes: LIMITS.requestBytes,
  maxResponseBytes: LIMITS.responseBytes,
  maxBatchItems: LIMITS.batchItems,
  maxPageSize: LIMITS.pageItems,
  defaultPageSize: DEFAULT_PAGE_ITEMS,
  maxClaimJobs: LIMITS.claimJobs,
  maxScannedRows: LIMITS.scannedRows,
  maxLongPoll: duration(LIMITS.longPollMs),
  minLeaseDuration: duration(LIMITS.leaseDurationMinMs),
  maxLeaseDuration: duration(LIMITS.leaseDurationMaxMs),
  defaultLeaseDuration: duration(DEFAULT_SETTINGS.leaseDurationMs),
  defaultLeaseGrace: duration(DEFAULT_SETTINGS.leaseGraceMs),
  maxEventsPerMessage: LIMITS.eventsPerMessage,
  maxEventMessageBytes: LIMITS.eventMessageBytes,
  maxFreeReleases: LIMITS.releasesPerLife,
  maxJobIdSkew: duration(LIMITS.clientJobIdSkewMs),
  maxClaimQueues: LIMITS.claimQueues,
  maxDelay: duration(LIMITS.delayMs),
  maxFailureMessageBytes: LIMITS.failureMessageBytes,
  maxFailureDetailsBytes: LIMITS.failureDetailsBytes,
  maxAwaitedJobs: LIMITS.awaitedJobs,
  maxStreamsPerConnection: LIMITS.streamsPerConnection,
  maxCustomEventsPerJob: LIMITS.customEventsPerJob,
};
