import { describe, expect, it } from 'vitest';
import { ListEventsRequest } from '../../gen/stint/v1/event_service.ts';
import { Job as WireJob, JobState } from '../../gen/stint/v1/job.ts';
import { EnqueueBatchRequest, EnqueueRequest, GetJobRequest, JobView, ListJobsRequest } from '../../gen/stint/v1/job_service.ts';
import { ClaimDecision, ClaimRequest, FailRequest, SettleRequest, StartMode } from '../../gen/stint/v1/worker_service.ts';
import type { JobEvent } from '../../src/domain/event.ts';
import { formatLeaseToken } from '../../src/domain/lease.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { Claim, EnqueueBatch } from '../../src/engine/engine.ts';
import type { Settlement } from '../../src/engine/workers/words.ts';
import { Call } from '../../src/grpc/call.ts';
import { listEvents } from '../../src/grpc/events/list-events.ts';
import { enqueueBatch } from '../../src/grpc/jobs/enqueue-batch.ts';
import { enqueue } from '../../src/grpc/jobs/enqueue.ts';
import { getJob } from '../../src/grpc/jobs/get-job.ts';
import { listJobs } from '../../src/grpc/jobs/list-jobs.ts';
import { claim } from '../../src/grpc/workers/claim.ts';
import { fail } from '../../src/grpc/workers/fail.ts';
import { settle } from '../../src/grpc/workers/settle.ts';
import { openStatus } from '../support/rich-status.ts';
import { anyCall, job, jobId, StubCall, stubEngine } from './stub-engine.ts';

const token = { shard: 0, jobId, fence: 7n, secret: '0b0f3c1e-6f0a-4a55-8a53-0c1f6f0a7b21' };
const leaseToken = formatLeaseToken(token);
const lease = { leaseToken, attempt: 1, fence: 7n, expiresAt: 2_000_000, ttlMs: 30_000, heartbeatIntervalMs: 10_000 };
const claimed = { job, payload: Buffer.from('in'), lease, checkpoint: null };

describe('Enqueue', () => {
  it('hands on what a job leaves unset as unset', async () => {
    const engine = stubEngine({
      jobs: {
        enqueue: async ({ namespace, spec }) => {
          expect(namespace).toBe('default');
          expect(spec).toMatchObject({
            queue: 'mail',
            type: '',
            jobId: null,
            idempotency: null,
            onDuplicate: 'RETURN_EXISTING',
            priority: 0,
            runAt: null,
          });
          expect(Object.values(spec.retry)).toEqual([null, null, null, null, null, null]);
          return { ok: true, value: { job, deduplicated: true } };
        },
      },
    });
    const answer = await enqueue(engine)(EnqueueRequest.fromPartial({ job: { queue: 'mail' } }), anyCall());
    expect(answer).toMatchObject({ job: { jobId, createdAt: { seconds: 1_700_000_000n, nanos: 123_456_000 } }, deduplicated: true });
  });

  it('hands on zero as zero where zero differs from unset', async () => {
    const engine = stubEngine({
      jobs: {
        enqueue: async ({ spec }) => {
          expect(spec.retry).toMatchObject({ initialBackoffMs: 0, jitter: false });
          expect(spec.runAt).toBe(0);
          return { ok: true, value: { job, deduplicated: false } };
        },
      },
    });
    const zero = { seconds: 0n, nanos: 0 };
    await enqueue(engine)(
      EnqueueRequest.fromPartial({ job: { queue: 'mail', runAt: zero, retry: { initialBackoff: zero, jitter: false } } }),
      anyCall(),
    );
  });
});

describe('EnqueueBatch', () => {
  it('keeps a bad item at its place, with its own reason', async () => {
    let seen: EnqueueBatch | undefined;
    const engine = stubEngine({
      jobs: {
        enqueueBatch: async (batch) => {
          seen = batch;
          return { ok: true, value: batch.items.map((item) => (item.ok ? { ok: true, value: { job, deduplicated: false } } : item)) };
        },
      },
    });
    const request = EnqueueBatchRequest.fromPartial({
      jobs: [{ queue: 'a' }, { queue: '' }, { queue: 'c', dependsOn: [jobId] }, { queue: 'd' }],
    });
    const { results } = await enqueueBatch(engine)(request, anyCall());
    expect(seen?.items.map(({ ok }) => ok)).toEqual([true, false, false, true]);
    const reasons = results.map(({ result }) => (result?.$case === 'error' ? openStatus(result.error).info?.reason : result?.$case));
    expect(reasons).toEqual(['job', 'INVALID_FIELD', 'UNIMPLEMENTED', 'job']);
  });

  it('answers a thousand jobs with all their labels within the bound', async () => {
    const large = { ...job, labels: { a: 'x'.repeat(16_000) } };
    const engine = stubEngine({
      jobs: {
        enqueueBatch: async ({ items }) => ({
          ok: true,
          value: items.map(() => ({ ok: true, value: { job: large, deduplicated: true } })),
        }),
      },
    });
    const jobs = Array.from({ length: 1_000 }, () => ({ queue: 'a' }));
    const { results } = await enqueueBatch(engine)(EnqueueBatchRequest.fromPartial({ jobs }), anyCall());
    const bytes = results.reduce((sum, { result }) => sum + (result?.$case === 'job' ? WireJob.encode(result.job).finish().length : 0), 0);
    expect(bytes).toBeLessThan(LIMITS.responseBytes + 1_000 * 256);
    expect(results).toHaveLength(1_000);
  });
});

describe('GetJob', () => {
  const engine = stubEngine({
    jobs: { getJob: async ({ withPayload }) => ({ ok: true, value: { job, payload: withPayload ? Buffer.from('in') : null } }) },
  });

  it('adds the payload in the full view only', async () => {
    const full = await getJob(engine)(GetJobRequest.fromPartial({ jobId, view: JobView.FULL }), anyCall());
    expect(full).toMatchObject({ payload: Buffer.from('in'), contentType: 'text/plain' });
    const basic = await getJob(engine)(GetJobRequest.fromPartial({ jobId }), anyCall());
    expect(basic).toMatchObject({ payload: undefined, contentType: '', job: { state: JobState.READY } });
  });
});

describe('a listing', () => {
  it('gives a token that leads on under the same filter, in whatever order it was written', async () => {
    const afters: unknown[] = [];
    const engine = stubEngine({ jobs: { listJobs: async ({ after }) => (afters.push(after), { jobs: [job], nextAfter: jobId }) } });
    const filter = { labels: { a: '1', b: '2' }, states: [JobState.READY, JobState.FAILED] };
    const { nextPageToken } = await listJobs(engine)(ListJobsRequest.fromPartial(filter), anyCall());
    const turned = { labels: { b: '2', a: '1' }, states: [JobState.FAILED, JobState.READY], pageToken: nextPageToken, pageSize: 7 };
    await listJobs(engine)(ListJobsRequest.fromPartial(turned), anyCall());
    expect(afters).toEqual([null, jobId]);
  });

  it('ends a page before it grows too large, and goes on after its last item', async () => {
    const events = Array.from({ length: 100 }, (_, index): JobEvent => failedEvent(index + 1));
    const engine = stubEngine({
      events: { listEvents: async () => ({ ok: true, value: { events, latestSequence: 100, nextAfter: null } }) },
    });
    const page = await listEvents(engine)(ListEventsRequest.fromPartial({ jobId }), anyCall());
    expect(page.events.length).toBeGreaterThan(1);
    expect(page.events.length).toBeLessThan(100);
    const next = stubEngine({
      events: {
        listEvents: async ({ afterSequence }) => {
          expect(afterSequence).toBe(page.events.length);
          return { ok: true, value: { events: [], latestSequence: 100, nextAfter: null } };
        },
      },
    });
    const last = await listEvents(next)(ListEventsRequest.fromPartial({ jobId, pageToken: page.nextPageToken }), anyCall());
    expect(last).toMatchObject({ nextPageToken: '', latestSequence: 100n });
  });

  function failedEvent(sequence: number): JobEvent {
    const failure = { code: 'c', message: '', details: Buffer.alloc(LIMITS.failureDetailsBytes, 'x'), kind: 'RETRYABLE' } as const;
    const detail = { type: 'retry_scheduled', failure, retryAt: 0, nextAttempt: 2 } as const;
    const { namespace, queue } = job;
    return { namespace, queue, jobId, sequence, occurredAt: 0, life: 1, attempt: 1, fence: 1n, state: 'RETRY_WAIT', workerId: 'w', detail };
  }
});

describe('Claim', () => {
  async function commandOf(partial: Parameters<typeof ClaimRequest.fromPartial>[0], remainingMs?: number): Promise<Claim> {
    let seen: Claim | undefined;
    const engine = stubEngine({ workers: { claim: async (command) => ((seen = command), { jobs: [], decision: 'EMPTY' }) } });
    const request = ClaimRequest.fromPartial({ workerId: 'w', queues: ['q'], ...partial });
    await claim(engine)(request, new Call(new StubCall(remainingMs)));
    return seen ?? expect.unreachable();
  }

  it('has the documented defaults', async () => {
    expect(await commandOf({})).toEqual({
      namespace: 'default',
      workerId: 'w',
      queues: ['q'],
      types: [],
      maxJobs: 1,
      waitMs: 0,
      leaseDurationMs: null,
      startOnClaim: true,
      requestId: null,
    });
  });

  it('counts a repeated queue once', async () => {
    expect((await commandOf({ queues: ['b', 'a', 'b'] })).queues).toEqual(['b', 'a']);
  });

  it('starts later where asked to', async () => {
    expect((await commandOf({ start: StartMode.EXPLICIT })).startOnClaim).toBe(false);
  });

  it.each([
    [60, undefined, 60_000, 60_000],
    [60, 10_000, 9_400, 9_500],
    [60, 1_000, 800, 900],
    [60, 200, 50, 150],
    [60, 10, 0, 0],
    [1, 10_000, 1_000, 1_000],
  ])('waits %i s at most, and with %s ms left from %i to %i ms', async (waitSeconds, remainingMs, least, most) => {
    const { waitMs } = await commandOf({ wait: { seconds: BigInt(waitSeconds), nanos: 0 } }, remainingMs);
    expect(waitMs).toBeGreaterThanOrEqual(least);
    expect(waitMs).toBeLessThanOrEqual(most);
  });

  it('answers with all that is needed to do the job', async () => {
    const engine = stubEngine({ workers: { claim: async () => ({ jobs: [claimed], decision: 'ASSIGNED' }) } });
    const answer = await claim(engine)(ClaimRequest.fromPartial({ workerId: 'w', queues: ['q'] }), anyCall());
    expect(answer).toMatchObject({
      decision: ClaimDecision.ASSIGNED,
      jobs: [{ payload: Buffer.from('in'), checkpoint: undefined, lease: { leaseToken, ttl: { seconds: 30n, nanos: 0 } } }],
    });
  });

  it.each<[string, { repeated?: true }, readonly Settlement[]]>([
    ['gives back what nobody waits for any more', {}, [{ kind: 'release', token, delayMs: 0 }]],
    ['keeps what an earlier answer has given, also when nobody waits for its repetition', { repeated: true }, []],
  ])('%s', async (_name, told, expected) => {
    const surface = new StubCall();
    const settled: Settlement[] = [];
    const engine = stubEngine({
      workers: {
        claim: async () => (surface.cancel(), { jobs: [claimed], decision: 'ASSIGNED', ...told }),
        settle: async (items) => (settled.push(...items), []),
      },
    });
    await claim(engine)(ClaimRequest.fromPartial({ workerId: 'w', queues: ['q'] }), new Call(surface));
    expect(settled).toEqual(expected);
  });
});

describe('a settlement', () => {
  it.each([
    [
      { kind: 'retry_scheduled', nextAttempt: 2, retryAt: 5_000_000 } as const,
      { $case: 'retryScheduled', retryScheduled: { nextAttempt: 2, retryAt: { seconds: 5n, nanos: 0 } } },
    ],
    [{ kind: 'dead_lettered', life: 7 } as const, { $case: 'deadLettered', deadLettered: { deadLetterId: `${jobId}.7` } }],
    [{ kind: 'failed' } as const, { $case: 'failed', failed: {} }],
  ])('that fails tells what follows: $kind', async (decision, consequence) => {
    const engine = stubEngine({ workers: { fail: async () => ({ ok: true, value: { job, outcome: 'APPLIED', decision } }) } });
    expect(await fail(engine)(FailRequest.fromPartial({ leaseToken }), anyCall())).toMatchObject({ consequence });
  });

  it.each([[''], ['x'], [`${leaseToken}A`], [leaseToken.slice(1)]])('with the malformed token "%s" is one of a lost lease', async (bad) => {
    const engine = stubEngine({
      workers: {
        fail: async (command) => {
          expect(command.token).toBeNull();
          return { ok: true, value: { job, outcome: 'APPLIED', decision: { kind: 'failed' } } };
        },
      },
    });
    await fail(engine)(FailRequest.fromPartial({ leaseToken: bad }), anyCall());
  });

  it('in a batch is refused alone', async () => {
    const engine = stubEngine({
      workers: {
        settle: async (items) => items.map((item) => (item.kind === 'refused' ? item : { kind: 'ack', job, outcome: 'APPLIED' })),
      },
    });
    const settlements = [
      { leaseToken, action: { $case: 'ack', ack: {} } as const },
      { leaseToken },
      { leaseToken, action: { $case: 'suspend', suspend: { reason: 'r'.repeat(1_025) } } as const },
      { leaseToken, action: { $case: 'fail', fail: { failure: { code: 'stint.mine' } } } as const },
    ];
    const { results } = await settle(engine)(SettleRequest.fromPartial({ settlements }), anyCall());
    const told = results.map(({ result }) => (result?.$case === 'error' ? openStatus(result.error) : result?.$case));
    expect(told).toMatchObject([
      'ack',
      { info: { reason: 'INVALID_FIELD' }, violations: [{ field: 'settlements[1].action' }] },
      { info: { reason: 'INVALID_FIELD' }, violations: [{ field: 'settlements[2].suspend.reason' }] },
      { info: { reason: 'INVALID_FIELD' }, violations: [{ field: 'settlements[3].fail.failure.code' }] },
    ]);
  });
});
