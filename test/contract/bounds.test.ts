import { describe, expect, it } from 'vitest';
import type { JobSpec } from '../../gen/stint/v1/job.ts';
import { type Scene, useService } from './scene.ts';
import { refusal, seconds } from './stint.ts';

const scene = useService();

const KiB = 1_024;
const DAY_S = 86_400;

/** A call with one thing in it of a size. */
type Sized = (one: Scene, size: number) => Promise<unknown>;

/** What it is, the field that a refusal names, the largest that is taken, and a call with it. */
type Bound = [string, string, number, Sized];

const text = (size: number) => 'x'.repeat(size);
const bytes = (size: number) => Buffer.alloc(size);
const times = <T>(size: number, item: (n: number) => T): T[] => Array.from({ length: size }, (_, n) => item(n));

const spec =
  (part: (size: number) => Parameters<typeof JobSpec.fromPartial>[0]): Sized =>
  ({ enqueue }, size) =>
    enqueue(part(size));
const claiming =
  (part: (size: number) => Parameters<Scene['claim']>[0]): Sized =>
  ({ claim }, size) =>
    claim(part(size));
const leased =
  (settle: (stint: Scene['stint'], leaseToken: string, size: number) => Promise<unknown>): Sized =>
  async ({ stint, enqueueAndClaim }, size) =>
    await settle(stint, (await enqueueAndClaim()).leaseToken, size);

const everything = { $case: 'everything', everything: {} } as const;

const bounds: Bound[] = [
  ['the name of a namespace', 'namespace', 128, ({ stint }, n) => stint.listJobs({ namespace: text(n) })],
  ['the name of a queue', 'job.queue', 128, spec((n) => ({ queue: text(n) }))],
  ['the name of a type', 'job.type', 128, spec((n) => ({ type: text(n) }))],
  ['a payload', 'job.payload', KiB * KiB, spec((n) => ({ payload: bytes(n) }))],
  ['the media type of a payload', 'job.content_type', 256, spec((n) => ({ contentType: text(n) }))],
  ['headers and labels together', 'job.headers', 16 * KiB, spec((n) => ({ headers: { h: text(n - 10) }, labels: { l: text(8) } }))],
  ['an idempotency key', 'job.idempotency_key', 256, spec((n) => ({ idempotencyKey: text(n) }))],
  ['a fairness key', 'job.fairness_key', 256, spec((n) => ({ fairnessKey: text(n) }))],
  [
    'the time of an idempotency key',
    'job.idempotency.ttl',
    366 * DAY_S,
    spec((n) => ({ idempotencyKey: 'k', idempotency: { ttl: seconds(n) } })),
  ],
  ['attempts', 'job.retry.max_attempts', 1_000_000, spec((n) => ({ retry: { maxAttempts: n } }))],
  ['a multiplier', 'job.retry.multiplier', 1_000, spec((n) => ({ retry: { multiplier: n } }))],
  ['a backoff', 'job.retry.max_backoff', 366 * DAY_S, spec((n) => ({ retry: { maxBackoff: seconds(n) } }))],
  ['codes that are not retried', 'job.retry.non_retryable_codes', 100, spec((n) => ({ retry: { nonRetryableCodes: times(n, String) } }))],
  ['the jobs of a claim', 'max_jobs', 1_000, claiming((n) => ({ maxJobs: n }))],
  ['the queues of a claim', 'queues', 1_000, claiming((n) => ({ queues: times(n, (i) => `q${i}`) }))],
  ['the types of a claim', 'types', 100, claiming((n) => ({ types: times(n, (i) => `t${i}`) }))],
  ['the name of a worker', 'worker_id', 256, claiming((n) => ({ workerId: text(n) }))],
  ['the id of a request', 'request_id', 256, claiming((n) => ({ requestId: text(n) }))],
  ['a lease', 'lease_duration', DAY_S, claiming((n) => ({ leaseDuration: seconds(n) }))],
  [
    'a long poll',
    'wait',
    60,
    async ({ enqueue, claim }, n) => {
      await enqueue();
      return await claim({ wait: seconds(n) });
    },
  ],
  ['the leases of a heartbeat', 'leases', 1_000, ({ stint }, n) => stint.heartbeat({ leases: times(n, () => ({ leaseToken: 'lost' })) })],
  [
    'a checkpoint',
    'leases[0].checkpoint',
    64 * KiB,
    leased((stint, leaseToken, n) => stint.heartbeat({ leases: [{ leaseToken, checkpoint: bytes(n) }] })),
  ],
  ['a result', 'result', KiB * KiB, leased((stint, leaseToken, n) => stint.ack({ leaseToken, result: bytes(n) }))],
  ['the media type of a result', 'content_type', 256, leased((stint, leaseToken, n) => stint.ack({ leaseToken, contentType: text(n) }))],
  ['the code of a failure', 'failure.code', 128, leased((stint, leaseToken, n) => stint.fail({ leaseToken, failure: { code: text(n) } }))],
  [
    'the message of a failure',
    'failure.message',
    4 * KiB,
    leased((stint, leaseToken, n) => stint.fail({ leaseToken, failure: { message: text(n) } })),
  ],
  [
    'the details of a failure',
    'failure.details',
    64 * KiB,
    leased((stint, leaseToken, n) => stint.fail({ leaseToken, failure: { details: text(n) } })),
  ],
  [
    'the delay after a failure',
    'retry_after',
    366 * DAY_S,
    leased((stint, leaseToken, n) => stint.fail({ leaseToken, retryAfter: seconds(n) })),
  ],
  ['the delay of a release', 'delay', 366 * DAY_S, leased((stint, leaseToken, n) => stint.release({ leaseToken, delay: seconds(n) }))],
  [
    'settlements',
    'settlements',
    1_000,
    ({ stint }, n) => stint.settle({ settlements: times(n, () => ({ action: { $case: 'release', release: {} } })) }),
  ],
  ['a page of jobs', 'page_size', 1_000, ({ stint, namespace }, n) => stint.listJobs({ namespace, pageSize: n })],
  [
    'the data of an event',
    'data',
    64 * KiB,
    async ({ stint, namespace, enqueue }, n) => stint.appendEvent({ namespace, jobId: (await enqueue()).jobId, type: 'a', data: bytes(n) }),
  ],
  [
    'the media type of an event',
    'content_type',
    256,
    async ({ stint, namespace, enqueue }, n) =>
      stint.appendEvent({ namespace, jobId: (await enqueue()).jobId, type: 'a', contentType: text(n) }),
  ],
  [
    'a replay key',
    'replay_key',
    256,
    async ({ stint, namespace, enqueue }, n) =>
      stint.appendEvent({ namespace, jobId: (await enqueue()).jobId, type: 'a', replayKey: text(n) }),
  ],
  [
    'the type of an event',
    'type',
    64,
    async ({ stint, namespace, enqueue }, n) => stint.appendEvent({ namespace, jobId: (await enqueue()).jobId, type: text(n) }),
  ],
  [
    'recent events',
    'recent',
    1_000,
    async ({ stint, namespace, enqueue }, n) => stint.listEvents({ namespace, jobId: (await enqueue()).jobId, recent: n }),
  ],
  [
    'a page of events',
    'page_size',
    1_000,
    async ({ stint, namespace, enqueue }, n) => stint.listEvents({ namespace, jobId: (await enqueue()).jobId, pageSize: n }),
  ],
  ['a page of violations', 'page_size', 1_000, ({ stint, namespace }, n) => stint.checkInvariants({ namespace, pageSize: n })],
  [
    'the jobs of a peek',
    'max_jobs',
    1_000,
    async ({ stint, namespace, queue, enqueue }, n) => {
      await enqueue();
      return await stint.peekQueue({ namespace, queue, maxJobs: n });
    },
  ],
  [
    'the types of a subscription',
    'types',
    100,
    ({ stint, namespace }, n) => {
      const follower = stint.subscribe({ namespace, scope: everything, types: times(n, (i) => `t${i}`) });
      return follower.next().finally(() => follower.cancel());
    },
  ],
];

describe('at most', () => {
  it.each(bounds)('so much is taken of %s, and no more', async (_what, field, largest, call) => {
    await call(scene(), largest);
    const { info, violations } = await refusal(call(scene(), largest + 1));
    expect(info?.reason).toBe('INVALID_FIELD');
    expect(violations.map((violation) => violation.field)).toContain(field);
  });
});
