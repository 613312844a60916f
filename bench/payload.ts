/** The same job for every route. */
export const JOB_TYPE = 'bench';
export const CONTENT_TYPE = 'application/json';
export const PAYLOAD = Buffer.from(JSON.stringify({ file: `/var/spool/${'x'.repeat(96)}`, size: 123_456 }));
export const RESULT = Buffer.from(JSON.stringify({ ok: true }));
export const WORKER_ID = 'bench-worker';
export const LEASE_MS = 60_000;
