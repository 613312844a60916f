import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Disposition } from '../../gen/stint/v1/job.ts';
import { FailureKind } from '../../gen/stint/v1/retry.ts';
import { StartMode } from '../../gen/stint/v1/worker_service.ts';
import { Metrics } from '../../src/ops/metrics/metrics.ts';
import { codeOf, connect, fromNow, held, seconds, type Stint } from '../contract/stint.ts';
import { PlayedClock } from '../support/clock.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { type Samples, together } from '../support/samples.ts';
import { startService } from '../support/service.ts';

const soon = { initialBackoff: seconds(0), maxBackoff: seconds(0) };
const poison = { code: 'poison', kind: FailureKind.TERMINAL };
const MINUTE_MS = 60_000;

/** Two replicas over one database, with the time that the test plays. */
async function openReplicas(database: TestDatabase) {
  const clock = new PlayedClock();
  const open = async () => {
    const metrics = new Metrics({ version: '0', nodeVersion: 'v0' });
    const service = await startService({ clock, database, metrics });
    return { metrics, service, stint: connect(service.address) };
  };
  const [one, two] = [await open(), await open()];
  return {
    ...{ clock, one: one.stint, two: two.stint },
    scrape: async () => together((await one.metrics.expose()).text, (await two.metrics.expose()).text),
    stop: async () => {
      for (const { stint } of [one, two]) stint.close();
      await Promise.all([one, two].map(({ service }) => service.stop()));
    },
  };
}

type Replicas = Awaited<ReturnType<typeof openReplicas>>;

async function claimed(stint: Stint, queue: string, maxJobs = 1, start: StartMode = StartMode.ON_CLAIM) {
  const { jobs } = await stint.claim({ workerId: 'w', queues: [queue], maxJobs, start, leaseDuration: seconds(30) });
  return jobs.map(held);
}

async function only(stint: Stint, queue: string, start?: StartMode) {
  const [job, ...others] = await claimed(stint, queue, 1, start);
  if (job === undefined || others.length > 0) throw new Error('one job was expected');
  return job;
}

/** Producers: 10 + 3 jobs; one job is there already, and a batch of two is undone by its second item. */
async function enqueue({ one, two }: Replicas): Promise<void> {
  for (let n = 0; n < 10; n += 1) await one.enqueue({ job: { queue: 'work', idempotencyKey: `${n}`, retry: { ...soon, maxAttempts: 2 } } });
  await two.enqueue({ job: { queue: 'work', idempotencyKey: '0', retry: { ...soon, maxAttempts: 2 } } });
  await two.enqueueBatch({ atomic: true, jobs: [{ queue: 'more' }, { queue: 'more' }, { queue: 'more', idempotencyKey: 'x' }] });
  const clash = two.enqueueBatch({ atomic: true, jobs: [{ queue: 'more' }, { queue: 'more', idempotencyKey: 'x', type: 'other' }] });
  await clash.catch(() => undefined);
}

/** Workers: of the 13 jobs, 4 succeed, 1 fails for good at once, 1 at its second attempt; 1 goes back and then waits to be resumed. */
async function work({ one, two, clock }: Replicas): Promise<void> {
  const acked = await claimed(one, 'work', 4);
  for (const { leaseToken } of acked) await two.ack({ leaseToken });
  // The same word again changes nothing.
  await one.ack({ leaseToken: acked[0]?.leaseToken ?? '' });
  await two.fail({ leaseToken: (await only(one, 'work')).leaseToken, failure: poison });
  const again = await only(two, 'work');
  await two.fail({ leaseToken: again.leaseToken, failure: { code: 'flaky' } });
  clock.advance(1_000);
  await one.runUpkeep({});
  // Its turn comes behind the others.
  const rest = await claimed(one, 'work', 10);
  for (const { leaseToken, jobId } of rest) {
    if (jobId === again.jobId) await one.fail({ leaseToken, failure: { code: 'flaky' } });
    else await one.release({ leaseToken });
  }
  const late = await only(two, 'work', StartMode.EXPLICIT);
  await two.start({ leaseToken: late.leaseToken });
  await two.suspend({ leaseToken: late.leaseToken, reason: 'a person looks' });
  await one.resumeJob({ jobId: late.jobId, reason: 'looked' });
}

/** The clock: 2 leases expire, of which one leaves a dead letter; one job waits for too long. */
async function wait({ one, two, clock }: Replicas): Promise<void> {
  await two.enqueue({ job: { queue: 'frail', retry: { ...soon, maxAttempts: 1 } } });
  await only(one, 'frail');
  await only(two, 'more');
  await one.enqueue({ job: { queue: 'idle', timeouts: { scheduleToStart: seconds(5) } } });
  clock.advance(MINUTE_MS);
  await one.runUpkeep({});
  await two.runUpkeep({});
}

/** Operators: cancel, update, retry, replay, complete from outside, tell an event of their own. */
async function operate({ one, two }: Replicas): Promise<void> {
  const { job } = await one.enqueue({ job: { queue: 'ops', runAt: fromNow(3_600) } });
  await two.updateJob({ jobId: job?.jobId ?? '', priority: 3, updateMask: ['priority'] });
  await one.appendEvent({ jobId: job?.jobId ?? '', type: 'note', data: Buffer.from('seen') });
  await two.cancelJob({ jobId: job?.jobId ?? '', reason: 'no', requestId: 'r' });
  await two.cancelJob({ jobId: job?.jobId ?? '', reason: 'no', requestId: 'r' });
  await one.retryJob({ jobId: job?.jobId ?? '', reason: 'yes' });
  const outside = await two.enqueue({ job: { queue: 'ops', disposition: Disposition.EXTERNALLY_OWNED } });
  const completion = { $case: 'failure', failure: { failure: poison } } as const;
  await one.completeExternally({ jobId: outside.job?.jobId ?? '', completion, authority: 'a' });
  await one.replayDeadLetters({ queue: 'frail', reason: 'mended' });
}

/** Refused: by name, by form, by state, by what is not served. */
async function misuse({ one, two }: Replicas): Promise<string[]> {
  const jobId = '01990000-0000-7000-8000-000000000000';
  return [
    await codeOf(one.getJob({ jobId })),
    await codeOf(two.getJob({ jobId })),
    await codeOf(one.enqueue({ job: { queue: 'no queue' } })),
    await codeOf(two.ack({ leaseToken: 'nothing' })),
  ];
}

describe('the metrics of two replicas', () => {
  let database: TestDatabase;
  let replicas: Replicas;
  let samples: Samples;
  beforeAll(async () => {
    database = await createDatabase();
    replicas = await openReplicas(database);
    await enqueue(replicas);
    await work(replicas);
    await wait(replicas);
    await operate(replicas);
    expect(await misuse(replicas)).toEqual(['NOT_FOUND', 'NOT_FOUND', 'INVALID_ARGUMENT', 'FAILED_PRECONDITION']);
    samples = await replicas.scrape();
  });
  afterAll(async () => {
    await replicas.stop();
    await database.drop();
  });

  it('count every event of every job once, whichever of them committed it', async () => {
    const jobs = await database.sql<{ id: string }[]>`select id from stint.job`;
    const truth: Record<string, number> = {};
    for (const { id } of jobs) {
      for (const { type } of (await replicas.one.listEvents({ jobId: id, pageSize: 1_000 })).events) {
        const event = type === 'note' ? 'custom' : type;
        if (event !== 'ready') truth[event] = (truth[event] ?? 0) + 1;
      }
    }
    expect(samples.by('stint_job_events_total', 'event')).toEqual(truth);
    expect(truth).toMatchObject({ enqueued: 17, succeeded: 4, custom: 1, updated: 1, cancelled: 1, retried: 2, suspended: 1, resumed: 1 });
  });

  it('count retries, dead letters and expired leases', async () => {
    const [row] = await database.sql<{ count: number }[]>`select count(*)::int from stint.dead_letter`;
    expect(row?.count).toBe(5);
    expect(samples.sum('stint_dead_letters_total')).toBe(5);
    // One failed and was tried again; the lease of the other expired.
    expect(samples.sum('stint_job_retries_total')).toBe(2);
    expect(samples.by('stint_leases_ended_total', 'how')).toEqual({ expired: 2 });
  });

  it('count calls by method and code', () => {
    const calls = (method: string) => samples.by('grpc_server_handled_total', 'grpc_code', { grpc_method: method });
    expect(calls('Enqueue')).toEqual({ OK: 15, INVALID_ARGUMENT: 1 });
    expect(calls('EnqueueBatch')).toEqual({ OK: 1, ALREADY_EXISTS: 1 });
    expect(calls('Ack')).toEqual({ OK: 5, FAILED_PRECONDITION: 1 });
    expect(calls('Fail')).toEqual({ OK: 3 });
    expect(calls('GetJob')).toEqual({ NOT_FOUND: 2 });
    expect(samples.by('stint_rpc_refusals_total', 'reason')).toEqual({
      JOB_NOT_FOUND: 2,
      INVALID_FIELD: 1,
      LEASE_LOST: 1,
      DUPLICATE_JOB: 1,
    });
    expect(samples.sum('grpc_server_started_total', { grpc_method: 'Enqueue' })).toBe(16);
    expect(samples.sum('grpc_server_msg_received_total', { grpc_method: 'Enqueue' })).toBe(16);
    expect(samples.sum('grpc_server_msg_sent_total', { grpc_method: 'Enqueue' })).toBe(15);
    expect(samples.sum('grpc_server_handling_seconds_count', { grpc_method: 'Enqueue' })).toBe(16);
    expect(samples.sum('stint_rpc_in_flight')).toBe(0);
  });

  it('count batches and what was in them, and statements by name', () => {
    expect(samples.sum('stint_batch_items_sum', { lane: 'enqueue' })).toBe(15);
    expect(samples.sum('stint_batch_wait_seconds_count', { lane: 'enqueue' })).toBe(15);
    expect(samples.sum('stint_batch_seconds_count', { lane: 'enqueue', outcome: 'committed' })).toBe(15);
    expect(samples.sum('stint_batch_items_count', { lane: 'claim' })).toBeGreaterThan(0);
    expect(samples.sum('stint_statement_seconds_count', { statement: 'complete-externally' })).toBe(1);
    expect(samples.by('stint_statement_failures_total', 'statement')).toEqual({});
  });
});
