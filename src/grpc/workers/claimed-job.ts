import type { Lease } from '../../domain/lease.ts';
import type { ClaimedJob } from '../../engine/ports/repository.ts';
import type { Lease as WireLease } from '../../../gen/stint/v1/lease.ts';
import type { ClaimedJob as WireClaimedJob } from '../../../gen/stint/v1/worker_service.ts';
import { duration, timestamp, wireJob } from '../encode.ts';

export function wireClaimedJob({ job, payload, lease, checkpoint }: ClaimedJob): WireClaimedJob {
  return {
    job: wireJob(job),
    payload: seen(payload),
    lease: wireLease(lease),
    checkpoint: checkpoint === null ? undefined : seen(checkpoint),
  };
}

/** The same bytes and no copy: a thousand jobs may wait for one slow reader. */
function seen({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
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
