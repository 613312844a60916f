import { randomBytes } from 'node:crypto';

/** The same job for every route. */
export const JOB_TYPE = 'bench';
export const CONTENT_TYPE = 'application/json';
export const PAYLOAD = Buffer.from(JSON.stringify({ file: `/var/spool/${'x'.repeat(96)}`, size: 123_456 }));

/** Bytes that cannot be packed, for the database packs what it can; without a size, the payload above. */
export function payloadOf(bytes?: number): Buffer {
  return bytes === undefined ? PAYLOAD : randomBytes(bytes);
}

export const RESULT = Buffer.from(JSON.stringify({ ok: true }));
export const WORKER_ID = 'bench-worker';
export const LEASE_MS = 60_000;
