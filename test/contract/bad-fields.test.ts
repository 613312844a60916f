import { describe, expect, it } from 'vitest';
import { JobState } from '../../gen/stint/v1/job.ts';
import { type Scene, useService } from './scene.ts';
import { refusal, seconds, uuidV7 } from './stint.ts';

const scene = useService();

/** A number that stands for nothing, as a newer client may send it. */
const unheardOf = JSON.parse('77');

const jobId = uuidV7();
const everything = { $case: 'everything', everything: {} } as const;
const badTypes = { types: ['no spaces'] };

/** The RPC, the field that is named, and the call with it. */
type Refused = [string, string, (one: Scene) => Promise<unknown>];

const ofJobs: Refused[] = [
  ['Enqueue', 'job', ({ stint, namespace }) => stint.enqueue({ namespace })],
  ['Enqueue', 'namespace', ({ stint, queue }) => stint.enqueue({ namespace: 'no spaces', job: { queue } })],
  ['Enqueue', 'job.queue', ({ enqueue }) => enqueue({ queue: '' })],
  ['Enqueue', 'job.type', ({ enqueue }) => enqueue({ type: 'a/b' })],
  ['Enqueue', 'job.headers', ({ enqueue }) => enqueue({ headers: { a: '\0' } })],
  ['Enqueue', 'job.labels', ({ enqueue }) => enqueue({ labels: { '\0': 'a' } })],
  ['Enqueue', 'job.job_id', ({ enqueue }) => enqueue({ jobId: jobId.toUpperCase() })],
  ['Enqueue', 'job.job_id', ({ enqueue }) => enqueue({ jobId: `${jobId.slice(0, 14)}4${jobId.slice(15)}` })],
  ['Enqueue', 'job.idempotency', ({ enqueue }) => enqueue({ idempotency: { ttl: seconds(60) } })],
  ['Enqueue', 'job.idempotency.ttl', ({ enqueue }) => enqueue({ idempotencyKey: 'k', idempotency: { ttl: seconds(0.5) } })],
  ['Enqueue', 'job.idempotency.scope', ({ enqueue }) => enqueue({ idempotencyKey: 'k', idempotency: { scope: unheardOf } })],
  ['Enqueue', 'job.on_duplicate', ({ enqueue }) => enqueue({ onDuplicate: unheardOf })],
  ['Enqueue', 'job.run_at', ({ enqueue }) => enqueue({ runAt: seconds(-1) })],
  ['Enqueue', 'job.run_at', ({ enqueue }) => enqueue({ runAt: seconds(1e11) })],
  ['Enqueue', 'job.run_at', ({ enqueue }) => enqueue({ runAt: { seconds: 0n, nanos: 1_000_000_000 } })],
  ['Enqueue', 'job.retry.max_attempts', ({ enqueue }) => enqueue({ retry: { maxAttempts: 0 } })],
  ['Enqueue', 'job.retry.multiplier', ({ enqueue }) => enqueue({ retry: { multiplier: 0.5 } })],
  ['Enqueue', 'job.retry.multiplier', ({ enqueue }) => enqueue({ retry: { multiplier: Number.NaN } })],
  ['Enqueue', 'job.retry.initial_backoff', ({ enqueue }) => enqueue({ retry: { initialBackoff: seconds(-1) } })],
  ['Enqueue', 'job.retry.initial_backoff', ({ enqueue }) => enqueue({ retry: { initialBackoff: seconds(2), maxBackoff: seconds(1) } })],
  ['Enqueue', 'job.retry.non_retryable_codes[1]', ({ enqueue }) => enqueue({ retry: { nonRetryableCodes: ['a', 'b c'] } })],
  ['GetJob', 'job_id', ({ stint }) => stint.getJob({})],
  ['GetJob', 'view', ({ stint }) => stint.getJob({ jobId, view: unheardOf })],
  ['ListJobs', 'queue', ({ stint }) => stint.listJobs({ queue: 'no spaces' })],
  ['ListJobs', 'states[1]', ({ stint }) => stint.listJobs({ states: [JobState.READY, JobState.UNSPECIFIED] })],
  ['ListJobs', 'page_size', ({ stint }) => stint.listJobs({ pageSize: -1 })],
  ['ListJobs', 'page_token', ({ stint }) => stint.listJobs({ pageToken: 'made-up' })],
  ['AwaitTerminal', 'job_id', ({ stint }) => stint.awaitTerminal({ jobId: 'x' }).rest()],
  ['AwaitTerminal', 'after_life', ({ stint }) => stint.awaitTerminal({ jobId, afterLife: -1 }).rest()],
  ['AwaitJobs', 'job_ids', ({ stint }) => stint.awaitJobs({}).rest()],
  ['AwaitJobs', 'job_ids', ({ stint }) => stint.awaitJobs({ jobIds: Array.from({ length: 1_001 }, uuidV7) }).rest()],
  ['AwaitJobs', 'job_ids[1]', ({ stint }) => stint.awaitJobs({ jobIds: [jobId, 'x'] }).rest()],
  ['AwaitJobs', 'job_ids[1]', ({ stint }) => stint.awaitJobs({ jobIds: [jobId, jobId] }).rest()],
  ['AwaitJobs', 'mode', ({ stint }) => stint.awaitJobs({ jobIds: [jobId], mode: unheardOf }).rest()],
];

const ofWorkers: Refused[] = [
  ['Claim', 'worker_id', ({ claim }) => claim({ workerId: '' })],
  ['Claim', 'queues', ({ claim }) => claim({ queues: [] })],
  ['Claim', 'queues[1]', ({ claim }) => claim({ queues: ['q', ''] })],
  ['Claim', 'max_jobs', ({ claim }) => claim({ maxJobs: -1 })],
  ['Claim', 'wait', ({ claim }) => claim({ wait: seconds(-1) })],
  ['Claim', 'lease_duration', ({ claim }) => claim({ leaseDuration: seconds(0.999) })],
  ['Claim', 'start', ({ claim }) => claim({ start: unheardOf })],
  ['Fail', 'failure.code', ({ stint }) => stint.fail({ failure: { code: 'no spaces' } })],
  ['Fail', 'failure.code', ({ stint }) => stint.fail({ failure: { code: 'stint.lease_expired' } })],
  ['Fail', 'failure.message', ({ stint }) => stint.fail({ failure: { message: '\0' } })],
  ['Fail', 'failure.kind', ({ stint }) => stint.fail({ failure: { kind: unheardOf } })],
  ['Fail', 'retry_after', ({ stint }) => stint.fail({ retryAfter: seconds(-1) })],
  ['Release', 'delay', ({ stint }) => stint.release({ delay: seconds(-1) })],
  ['Release', 'delay', ({ stint }) => stint.release({ delay: { seconds: 1n, nanos: -1 } })],
];

const ofEvents: Refused[] = [
  ['Subscribe', 'scope', ({ stint }) => stint.subscribe({}).rest()],
  ['Subscribe', 'job_id', ({ stint }) => stint.subscribe({ scope: { $case: 'jobId', jobId: '' } }).rest()],
  ['Subscribe', 'queue', ({ stint }) => stint.subscribe({ scope: { $case: 'queue', queue: '' } }).rest()],
  ['Subscribe', 'types[0]', ({ stint }) => stint.subscribe({ scope: everything, ...badTypes }).rest()],
  ['Subscribe', 'cursor', ({ stint }) => stint.subscribe({ scope: everything, start: { $case: 'cursor', cursor: '' } }).rest()],
  ['Subscribe', 'types[1]', ({ stint }) => stint.subscribe({ scope: everything, types: ['enqueued', 'stint.own'] }).rest()],
  ['ListEvents', 'types[1]', ({ stint }) => stint.listEvents({ jobId, types: ['enqueued', 'stint.own'] })],
  ['ListEvents', 'types[0]', ({ stint }) => stint.listEvents({ jobId, types: ['x'.repeat(65)] })],
  ['ListEvents', 'types[0]', ({ stint }) => stint.listEvents({ jobId, types: [''] })],
  ['ListEvents', 'types', ({ stint }) => stint.listEvents({ jobId, types: Array.from({ length: 101 }, () => 'a') })],
  ['ListEvents', 'recent', ({ stint }) => stint.listEvents({ jobId, recent: -1 })],
  ['ListEvents', 'recent', ({ stint }) => stint.listEvents({ jobId, recent: 1_001 })],
  ['AwaitEvent', 'job_id', ({ stint }) => stint.awaitEvent({ type: 'enqueued' }).rest()],
  ['AwaitEvent', 'type', ({ stint }) => stint.awaitEvent({ jobId }).rest()],
  ['AwaitEvent', 'type', ({ stint }) => stint.awaitEvent({ jobId, type: 'no spaces' }).rest()],
  ['AwaitEvent', 'type', ({ stint }) => stint.awaitEvent({ jobId, type: 'stint.own' }).rest()],
  ['AwaitEvent', 'after_sequence', ({ stint }) => stint.awaitEvent({ jobId, type: 'a', afterSequence: -1n }).rest()],
  ['AwaitEvent', 'namespace', ({ stint }) => stint.awaitEvent({ namespace: 'no spaces', jobId, type: 'a' }).rest()],
  ['AppendEvent', 'job_id', ({ stint }) => stint.appendEvent({ type: 'a' })],
  ['AppendEvent', 'type', ({ stint }) => stint.appendEvent({ jobId })],
  ['AppendEvent', 'type', ({ stint }) => stint.appendEvent({ jobId, type: 'ünsafe' })],
  ['AppendEvent', 'type', ({ stint }) => stint.appendEvent({ jobId, type: 'x'.repeat(65) })],
  ['AppendEvent', 'type', ({ stint }) => stint.appendEvent({ jobId, type: 'stint.own' })],
  ['AppendEvent', 'type', ({ stint }) => stint.appendEvent({ jobId, type: 'succeeded' })],
  ['AppendEvent', 'content_type', ({ stint }) => stint.appendEvent({ jobId, type: 'a', contentType: 'a\0b' })],
  ['AppendEvent', 'replay_key', ({ stint }) => stint.appendEvent({ jobId, type: 'a', replayKey: 'a\0b' })],
  ['AppendEvent', 'namespace', ({ stint }) => stint.appendEvent({ namespace: 'no spaces', jobId, type: 'a' })],
  ['ListEvents', 'job_id', ({ stint }) => stint.listEvents({})],
  ['ListEvents', 'after_sequence', ({ stint }) => stint.listEvents({ jobId, afterSequence: -1n })],
  ['ListEvents', 'types[0]', ({ stint }) => stint.listEvents({ jobId, ...badTypes })],
  ['ListEvents', 'page_size', ({ stint }) => stint.listEvents({ jobId, pageSize: -1 })],
  ['ListEvents', 'page_token', ({ stint }) => stint.listEvents({ jobId, pageToken: 'made-up' })],
];

const ofQueues: Refused[] = [
  ['GetQueue', 'queue', ({ stint }) => stint.getQueue({})],
  ['PeekQueue', 'queue', ({ stint }) => stint.peekQueue({})],
  ['PeekQueue', 'max_jobs', ({ stint, queue }) => stint.peekQueue({ queue, maxJobs: -1 })],
  ['CheckInvariants', 'page_size', ({ stint }) => stint.checkInvariants({ pageSize: -1 })],
  ['CheckInvariants', 'page_token', ({ stint }) => stint.checkInvariants({ pageToken: 'made-up' })],
];

describe('a field that makes no sense is named', () => {
  it.each([...ofJobs, ...ofWorkers, ...ofEvents, ...ofQueues])('by %s: %s', async (_rpc, field, call) => {
    const { info, violations } = await refusal(call(scene()));
    expect(info?.reason).toBe('INVALID_FIELD');
    expect(violations.map((violation) => violation.field)).toContain(field);
  });
});
