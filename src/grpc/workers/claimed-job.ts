import type { Lease } from '../../domain/lease.ts';
import type { ClaimedJob } from '../../engine/ports/repository.ts';
import type { Lease as WireLease } from '../../../gen/stint/v1/lease.ts';
import type { ClaimedJob as WireClaimedJob } from '../../../gen/stint/v1/worker_service.ts';
import { duration, timestamp, wireJob } from '../encode.ts';

export function wireClaimedJob({ job, payload, lease, checkpoint }: ClaimedJob): WireClaimedJob {
  return {
    job: wireJob(job),
    payload: Buffer.from(payload),
    lease: wireLease(lease),
    checkpoint: checkpoint === null ? undefined : Buffer.from(checkpoint),
  };
}

function wireLease(lease: Lease): WireLease {
  return {
    leaseToken: lease.leaseToken,
    attempt: lease.attempt,
    fence: lease.fence,
    expiresAt: timestamp(lease.expiresAt),
    ttl: duration(lease.ttlMs),
    heartbeatInterval: duration(lease.heartbeatIntervalMs),
  };
}
