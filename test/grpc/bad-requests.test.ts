import { describe, expect, it } from 'vitest';
import { ListEventsRequest, SubscribeRequest } from '../../gen/stint/v1/event_service.ts';
import type { JobSpec } from '../../gen/stint/v1/job.ts';
import { AwaitTerminalRequest, EnqueueRequest, GetJobRequest, ListJobsRequest } from '../../gen/stint/v1/job_service.ts';
import { CheckInvariantsRequest, GetQueueRequest, PeekQueueRequest } from '../../gen/stint/v1/queue_service.ts';
import {
  AckRequest,
  ClaimRequest,
  FailRequest,
  HeartbeatRequest,
  ReleaseRequest,
  SettleRequest,
} from '../../gen/stint/v1/worker_service.ts';
import { type Refusal, RefusalError } from '../../src/domain/error.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { listEvents } from '../../src/grpc/events/list-events.ts';
import { subscribe } from '../../src/grpc/events/subscribe.ts';
import { awaitTerminal } from '../../src/grpc/jobs/await-terminal.ts';
import { enqueue } from '../../src/grpc/jobs/enqueue.ts';
import { getJob } from '../../src/grpc/jobs/get-job.ts';
import { listJobs } from '../../src/grpc/jobs/list-jobs.ts';
import { formatPageToken } from '../../src/grpc/page-token.ts';
import { checkInvariants } from '../../src/grpc/queues/check-invariants.ts';
import { getQueue } from '../../src/grpc/queues/get-queue.ts';
import { peekQueue } from '../../src/grpc/queues/peek-queue.ts';
import { ack } from '../../src/grpc/workers/ack.ts';
import { claim } from '../../src/grpc/workers/claim.ts';
import { fail } from '../../src/grpc/workers/fail.ts';
import { heartbeat } from '../../src/grpc/workers/heartbeat.ts';
import { release } from '../../src/grpc/workers/release.ts';
import { settle } from '../../src/grpc/workers/settle.ts';
import { anyCall, jobId, stubEngine } from './stub-engine.ts';

/** No request here may get as far as the engine. */
const engine = stubEngine();

async function refusalOf(answer: Promise<unknown> | AsyncIterable<unknown>): Promise<Refusal> {
  try {
    if (Symbol.asyncIterator in answer) for await (const _ of answer) break;
    else await answer;
  } catch (error) {
    if (error instanceof RefusalError) return error.refusal;
    throw error;
  }
  throw new Error('the request was accepted');
}

const long = (bytes: number) => 'x'.repeat(bytes + 1);
const seconds = (value: number) => ({ seconds: BigInt(value), nanos: 0 });
const minute = seconds(60);

const specs: [string, Parameters<typeof JobSpec.fromPartial>[0]][] = [
  ['job.queue', { queue: '' }],
  ['job.queue', { queue: 'no spaces' }],
  ['job.type', { type: 'no/slash' }],
  ['job.payload', { payload: Buffer.alloc(LIMITS.payloadBytes + 1) }],
  ['job.content_type', { contentType: long(LIMITS.contentTypeBytes) }],
  ['job.headers', { headers: { a: long(LIMITS.headersAndLabelsBytes) } }],
  ['job.headers', { headers: { a: 'nul\0' } }],
  ['job.labels', { labels: { 'nul\0': 'a' } }],
  ['job.job_id', { jobId: jobId.toUpperCase() }],
  ['job.job_id', { jobId: '0199c2f4-6a3e-4c1b-9d55-0c1f6f0a7b21' }],
  ['job.idempotency_key', { idempotencyKey: long(LIMITS.keyBytes) }],
  ['job.fairness_key', { fairnessKey: long(LIMITS.keyBytes) }],
  ['job.idempotency', { idempotency: { ttl: minute } }],
  ['job.idempotency.ttl', { idempotencyKey: 'k', idempotency: { ttl: seconds(0) } }],
  ['job.on_duplicate', { onDuplicate: JSON.parse('7') }],
  ['job.run_at', { runAt: seconds(-1) }],
  ['job.run_at', { runAt: seconds(1e11) }],
  ['job.retry.max_attempts', { retry: { maxAttempts: 0 } }],
  ['job.retry.max_attempts', { retry: { maxAttempts: LIMITS.maxAttempts + 1 } }],
  ['job.retry.multiplier', { retry: { multiplier: 0.5 } }],
  ['job.retry.multiplier', { retry: { multiplier: Number.NaN } }],
  ['job.retry.initial_backoff', { retry: { initialBackoff: seconds(-1) } }],
  ['job.retry.initial_backoff', { retry: { initialBackoff: seconds(2), maxBackoff: seconds(1) } }],
  ['job.retry.max_backoff', { retry: { maxBackoff: seconds(LIMITS.delayMs) } }],
  ['job.retry.non_retryable_codes[1]', { retry: { nonRetryableCodes: ['a', 'b c'] } }],
  ['job.retry.non_retryable_codes', { retry: { nonRetryableCodes: Array.from({ length: 101 }, String) } }],
];

const sound = { workerId: 'w', queues: ['q'] };
const claims: [string, Parameters<typeof ClaimRequest.fromPartial>[0]][] = [
  ['namespace', { namespace: 'no spaces' }],
  ['worker_id', { workerId: '' }],
  ['worker_id', { workerId: long(LIMITS.workerIdBytes) }],
  ['worker_id', { workerId: 'nul\0' }],
  ['queues', { queues: [] }],
  ['queues', { queues: Array.from({ length: LIMITS.claimQueues + 1 }, String) }],
  ['queues[1]', { queues: ['q', ''] }],
  ['max_jobs', { maxJobs: -1 }],
  ['max_jobs', { maxJobs: LIMITS.claimJobs + 1 }],
  ['wait', { wait: seconds(-1) }],
  ['wait', { wait: seconds(61) }],
  ['lease_duration', { leaseDuration: { seconds: 0n, nanos: 999_000_000 } }],
  ['lease_duration', { leaseDuration: seconds(86_401) }],
  ['start', { start: JSON.parse('9') }],
  ['request_id', { requestId: long(LIMITS.keyBytes) }],
];

const others: [string, string, () => Promise<unknown> | AsyncIterable<unknown>][] = [
  ['Enqueue', 'job', () => enqueue(engine)(EnqueueRequest.fromPartial({}), anyCall())],
  ['Enqueue', 'namespace', () => enqueue(engine)(EnqueueRequest.fromPartial({ namespace: '/', job: { queue: 'q' } }), anyCall())],
  ['GetJob', 'job_id', () => getJob(engine)(GetJobRequest.fromPartial({}), anyCall())],
  ['GetJob', 'view', () => getJob(engine)(GetJobRequest.fromPartial({ jobId, view: JSON.parse('5') }), anyCall())],
  ['ListJobs', 'queue', () => listJobs(engine)(ListJobsRequest.fromPartial({ queue: '?' }), anyCall())],
  ['ListJobs', 'states[0]', () => listJobs(engine)(ListJobsRequest.fromPartial({ states: [0] }), anyCall())],
  ['ListJobs', 'page_size', () => listJobs(engine)(ListJobsRequest.fromPartial({ pageSize: 1_001 }), anyCall())],
  ['ListJobs', 'page_token', () => listJobs(engine)(ListJobsRequest.fromPartial({ pageToken: 'made-up' }), anyCall())],
  ['ListJobs', 'labels', () => listJobs(engine)(ListJobsRequest.fromPartial({ labels: { a: '\0' } }), anyCall())],
  ['AwaitTerminal', 'job_id', () => awaitTerminal(engine)(AwaitTerminalRequest.fromPartial({ jobId: 'x' }), anyCall())],
  ['AwaitTerminal', 'after_life', () => awaitTerminal(engine)(AwaitTerminalRequest.fromPartial({ jobId, afterLife: -1 }), anyCall())],
  ['Ack', 'result', () => ack(engine)(AckRequest.fromPartial({ result: Buffer.alloc(LIMITS.resultBytes + 1) }), anyCall())],
  ['Ack', 'content_type', () => ack(engine)(AckRequest.fromPartial({ contentType: long(LIMITS.contentTypeBytes) }), anyCall())],
  ['Fail', 'failure.code', () => fail(engine)(FailRequest.fromPartial({ failure: { code: 'no spaces' } }), anyCall())],
  ['Fail', 'failure.code', () => fail(engine)(FailRequest.fromPartial({ failure: { code: 'stint.lease_expired' } }), anyCall())],
  [
    'Fail',
    'failure.message',
    () => fail(engine)(FailRequest.fromPartial({ failure: { message: long(LIMITS.failureMessageBytes) } }), anyCall()),
  ],
  ['Fail', 'failure.message', () => fail(engine)(FailRequest.fromPartial({ failure: { message: '\0' } }), anyCall())],
  [
    'Fail',
    'failure.details',
    () => fail(engine)(FailRequest.fromPartial({ failure: { details: long(LIMITS.failureDetailsBytes) } }), anyCall()),
  ],
  ['Fail', 'failure.kind', () => fail(engine)(FailRequest.fromPartial({ failure: { kind: JSON.parse('9') } }), anyCall())],
  ['Fail', 'retry_after', () => fail(engine)(FailRequest.fromPartial({ retryAfter: seconds(-1) }), anyCall())],
  ['Release', 'delay', () => release(engine)(ReleaseRequest.fromPartial({ delay: seconds(LIMITS.delayMs) }), anyCall())],
  ['Heartbeat', 'worker_id', () => heartbeat(engine)(HeartbeatRequest.fromPartial({ workerId: long(256) }), anyCall())],
  [
    'Heartbeat',
    'leases',
    () => heartbeat(engine)(HeartbeatRequest.fromPartial({ leases: Array.from({ length: 1_001 }, () => ({})) }), anyCall()),
  ],
  [
    'Heartbeat',
    'leases[1].checkpoint',
    () =>
      heartbeat(engine)(
        HeartbeatRequest.fromPartial({ leases: [{}, { checkpoint: Buffer.alloc(LIMITS.checkpointBytes + 1) }] }),
        anyCall(),
      ),
  ],
  [
    'Settle',
    'settlements',
    () => settle(engine)(SettleRequest.fromPartial({ settlements: Array.from({ length: 1_001 }, () => ({})) }), anyCall()),
  ],
  ['Subscribe', 'scope', () => subscribe(engine)(SubscribeRequest.fromPartial({}), anyCall())],
  ['Subscribe', 'job_id', () => subscribe(engine)(SubscribeRequest.fromPartial({ scope: { $case: 'jobId', jobId: '' } }), anyCall())],
  ['Subscribe', 'queue', () => subscribe(engine)(SubscribeRequest.fromPartial({ scope: { $case: 'queue', queue: '' } }), anyCall())],
  [
    'Subscribe',
    'types[0]',
    () =>
      subscribe(engine)(SubscribeRequest.fromPartial({ scope: { $case: 'everything', everything: {} }, types: ['no spaces'] }), anyCall()),
  ],
  [
    'Subscribe',
    'cursor',
    () =>
      subscribe(engine)(
        SubscribeRequest.fromPartial({ scope: { $case: 'everything', everything: {} }, start: { $case: 'cursor', cursor: '' } }),
        anyCall(),
      ),
  ],
  ['ListEvents', 'job_id', () => listEvents(engine)(ListEventsRequest.fromPartial({}), anyCall())],
  ['ListEvents', 'after_sequence', () => listEvents(engine)(ListEventsRequest.fromPartial({ jobId, afterSequence: -1n }), anyCall())],
  ['ListEvents', 'types[0]', () => listEvents(engine)(ListEventsRequest.fromPartial({ jobId, types: [''] }), anyCall())],
  ['ListEvents', 'page_token', () => listEvents(engine)(ListEventsRequest.fromPartial({ jobId, pageToken: 'x' }), anyCall())],
  ['GetQueue', 'queue', () => getQueue(engine)(GetQueueRequest.fromPartial({}), anyCall())],
  ['PeekQueue', 'queue', () => peekQueue(engine)(PeekQueueRequest.fromPartial({}), anyCall())],
  ['PeekQueue', 'max_jobs', () => peekQueue(engine)(PeekQueueRequest.fromPartial({ queue: 'q', maxJobs: -1 }), anyCall())],
  ['CheckInvariants', 'page_size', () => checkInvariants(engine)(CheckInvariantsRequest.fromPartial({ pageSize: -1 }), anyCall())],
];

describe('a bad field', () => {
  it.each(specs)('of a job is named: %s', async (field, spec) => {
    const request = EnqueueRequest.fromPartial({ job: { queue: 'q', type: 't', ...spec } });
    expect(await refusalOf(enqueue(engine)(request, anyCall()))).toMatchObject({ kind: 'invalid_field', violations: [{ field }] });
  });

  it.each(claims)('of a claim is named: %s', async (field, partial) => {
    const request = ClaimRequest.fromPartial({ ...sound, ...partial });
    expect(await refusalOf(claim(engine)(request, anyCall()))).toMatchObject({ kind: 'invalid_field', violations: [{ field }] });
  });

  it.each(others)('of %s is named: %s', async (_rpc, field, answer) => {
    const refusal = await refusalOf(answer());
    expect(refusal).toMatchObject({ kind: 'invalid_field' });
    expect(refusal.kind === 'invalid_field' && refusal.violations.map((violation) => violation.field)).toContain(field);
  });
});

const unserved: [string, () => Promise<unknown>][] = [
  ...(
    [
      ['job.parent_job_id', { parentJobId: jobId }],
      ['job.depends_on', { dependsOn: [jobId] }],
    ] satisfies [string, Parameters<typeof JobSpec.fromPartial>[0]][]
  ).map(([what, spec]): [string, () => Promise<unknown>] => [
    what,
    () => enqueue(engine)(EnqueueRequest.fromPartial({ job: { queue: 'q', ...spec } }), anyCall()),
  ]),
  ['queue', () => checkInvariants(engine)(CheckInvariantsRequest.fromPartial({ queue: 'q' }), anyCall())],
  ['job_id', () => checkInvariants(engine)(CheckInvariantsRequest.fromPartial({ jobId }), anyCall())],
];

const zeros = '00000000-0000-0000-0000-000000000000';
const positionOf = (position: string) =>
  CheckInvariantsRequest.fromPartial({ pageToken: formatPageToken(['CheckInvariants', 'default'], position) });

describe('a forged position of CheckInvariants', () => {
  it.each([
    'jobs xyz',
    'jobs',
    `jobs ${zeros} `,
    `jobs ${zeros.slice(1)}`,
    `held ${zeros}0`,
    'held 1:2:3',
    `nonsense ${zeros}`,
    'nonsense',
    `ready ${zeros}`,
    'ready 0:0',
    'ready 0:0:0',
    'ready 0:0:0:0',
    `ready 0:0::${zeros}`,
    `ready 0:0:0:${zeros}:`,
    `ready 0x1:0:0:${zeros}`,
    `ready 2147483648:0:0:${zeros}`,
    `ready 0:9223372036854775808:0:${zeros}`,
    `ready 0:0:-9223372036854775809:${zeros}`,
  ])('is refused, neither followed nor answered as sound: %s', async (position) => {
    const refusal = await refusalOf(checkInvariants(engine)(positionOf(position), anyCall()));
    expect(refusal).toMatchObject({ kind: 'invalid_field', violations: [{ field: 'page_token' }] });
  });

  it.each([
    `jobs ${zeros}`,
    `jobs ${jobId}`,
    `held ${jobId}`,
    `ready 0:0:0:${zeros}`,
    `ready 2147483647:-2147483648:9223372036854775807:${jobId}`,
  ])('is told from one of ours: %s', async (position) => {
    const followed: (string | null)[] = [];
    const reached = stubEngine({
      queues: { checkInvariants: async ({ after }) => (followed.push(after), { violations: [], next: null }) },
    });
    await checkInvariants(reached)(positionOf(position), anyCall());
    expect(followed).toEqual([position]);
  });
});

describe('an option that is not served', () => {
  it.each(unserved)('is refused, not ignored: %s', async (what, answer) => {
    expect(await refusalOf(answer())).toEqual({ kind: 'unimplemented', what });
  });
});
