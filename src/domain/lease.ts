import type { Failure, JobId, Micros } from './job.ts';
import { parseJobId } from './job.ts';

/**
 * Exclusive, expiring ownership of an attempt. The token a worker holds names the row and proves the right to it:
 * version(1) ‖ shard(2) ‖ job(16) ‖ fence(8) ‖ secret(16), base64url. Only the secret is unguessable; the rest finds the row.
 */
export interface LeaseToken {
  readonly shard: number;
  readonly jobId: JobId;
  readonly fence: bigint;
  /** A random UUID, minted for each claim call. */
  readonly secret: string;
}

export interface Lease {
  readonly leaseToken: string;
  readonly attempt: number;
  readonly fence: bigint;
  readonly expiresAt: Micros;
  readonly ttlMs: number;
  readonly heartbeatIntervalMs: number;
}

const TOKEN_VERSION = 1;
const TOKEN_BYTES = 43;
const UUID_HEX = /^[0-9a-f]{32}$/;

export function formatLeaseToken(token: LeaseToken): string {
  const bytes = Buffer.alloc(TOKEN_BYTES);
  bytes.writeUInt8(TOKEN_VERSION, 0);
  bytes.writeInt16BE(token.shard, 1);
  bytes.write(token.jobId.replaceAll('-', ''), 3, 'hex');
  bytes.writeBigInt64BE(token.fence, 19);
  bytes.write(token.secret.replaceAll('-', ''), 27, 'hex');
  return bytes.toString('base64url');
}

/** Null for whatever this service cannot have written: to its holder that is a lost lease, no other error. */
export function parseLeaseToken(text: string): LeaseToken | null {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.length !== TOKEN_BYTES || bytes.readUInt8(0) !== TOKEN_VERSION || bytes.toString('base64url') !== text) return null;
  const jobId = parseJobId(hyphenate(bytes.toString('hex', 3, 19)));
  if (jobId === null) return null;
  return { shard: bytes.readInt16BE(1), jobId, fence: bytes.readBigInt64BE(19), secret: hyphenate(bytes.toString('hex', 27)) };
}

function hyphenate(hex: string): string {
  if (!UUID_HEX.test(hex)) return hex;
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Three beats fit into a lease, so that one lost heartbeat costs nothing. */
export function heartbeatIntervalMs(ttlMs: number): number {
  return Math.floor(ttlMs / 3);
}

/** What bounds a lease; null: nothing of the kind. */
export interface LeaseBounds {
  /** Its own, or that of the session that keeps it, whichever is later. */
  readonly expiresAt: Micros;
  readonly graceMs: number;
  /** When an asked-for cancellation is forced. */
  readonly cancelDeadline: Micros | null;
  /** When the try times out (start_to_close). */
  readonly runUntil: Micros | null;
  /** When the life does (schedule_to_close). */
  readonly lifeUntil: Micros | null;
}

/**
 * When a lease ends whatever happens: at its expiry plus the queue's grace (the server's slack, not the worker's time), or at the
 * first of the other bounds, which have no grace. `repository/held-leases.ts` is the same in SQL.
 */
export function leaseEnd({ expiresAt, graceMs, cancelDeadline, runUntil, lifeUntil }: LeaseBounds): Micros {
  const bounds = [cancelDeadline, runUntil, lifeUntil].filter((bound) => bound !== null);
  return Math.min(expiresAt + graceMs * 1_000, ...bounds);
}

export function isLive(lease: LeaseBounds, now: Micros): boolean {
  return now < leaseEnd(lease);
}

/** The fence rises with every claim, and leaps with the epoch, so that it also rises across a fail-over that lost claims. */
export function nextFence(fence: bigint, epoch: number): bigint {
  const floor = BigInt(epoch) << 32n;
  return fence + 1n > floor ? fence + 1n : floor;
}

/** Why a job fails that is released once more than its life allows, with no attempt left. */
export const RELEASE_LIMIT: Failure = {
  code: 'stint.release_limit',
  message: 'released too often, and no attempt is left',
  details: new Uint8Array(),
  kind: 'TERMINAL',
};

/** Why a try fails whose lease nobody renewed in time. */
export const LEASE_EXPIRED = ownFailure('stint.lease_expired', 'the lease expired before the attempt was settled', 'RETRYABLE');

/** Why a job fails that nobody claimed in time. */
export const SCHEDULE_TO_START = ownFailure('stint.timeout.schedule_to_start', 'the job was not claimed in time', 'TERMINAL');

/** Why a try fails that took too long. */
export const START_TO_CLOSE = ownFailure('stint.timeout.start_to_close', 'the attempt was not settled in time', 'RETRYABLE');

/** Why a job fails whose life took too long. */
export const SCHEDULE_TO_CLOSE = ownFailure('stint.timeout.schedule_to_close', 'the job did not end in time', 'TERMINAL');

function ownFailure(code: string, message: string, kind: Failure['kind']): Failure {
  return { code, message, details: new Uint8Array(), kind };
}
