/** A producer that speaks SQL alone, beside a service that runs: what is seen over gRPC of what it enqueues. */
import type { ReservedSql } from 'postgres';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Disposition, JobState, type JobSpec } from '../../gen/stint/v1/job.ts';
import { JobView } from '../../gen/stint/v1/job_service.ts';
import { Scene } from '../contract/scene.ts';
import { collect, connect, reasonOf, refusal, seconds, type Stint } from '../contract/stint.ts';
import { startService, type TestService } from '../support/service.ts';
import { type DoorCall, enter } from '../support/sql-door.ts';

let service: TestService;
let stint: Stint;
let scene: Scene;
let app: ReservedSql;
beforeAll(async () => {
  service = await startService();
  stint = connect(service.address);
});
beforeEach(async () => {
  scene = new Scene(stint);
  app = await service.database.sql.reserve();
});
afterEach(async () => {
  app.release();
  await scene.isSound();
});
afterAll(async () => {
  stint.close();
  await service.stop();
});

const door = async (call: DoorCall = {}): Promise<string> =>
  (await enter(app, { namespace: scene.namespace, queue: scene.queue, type: 'test', ...call })).job_id;

const everything = { $case: 'everything', everything: {} } as const;
const fromBeginning = { $case: 'fromBeginning', fromBeginning: {} } as const;
const upTo = (count: number) => (events: readonly unknown[]) => events.length >= count;

/** The same job in both tongues. */
const alike: Readonly<Record<string, { readonly spec: Parameters<typeof JobSpec.fromPartial>[0]; readonly call: DoorCall }>> = {
  'with content': {
    spec: {
      payload: Buffer.from([0, 255]),
      contentType: 'text/plain',
      headers: { h: 'é' },
      labels: { l: '1' },
      priority: -3,
      idempotencyKey: 'k',
    },
    call: { payload: '\\x00ff', content_type: 'text/plain', headers: '{"h":"é"}', labels: '{"l":"1"}', priority: -3, idempotency_key: 'k' },
  },
  'due later': { spec: { runAt: seconds(7_000_000_000) }, call: { run_at: new Date(7_000_000_000_000).toISOString() } },
  'with a policy of its own': {
    spec: {
      disposition: Disposition.OWNER_BOUND,
      retry: { maxAttempts: 3, jitter: false, nonRetryableCodes: ['a', 'b'] },
      timeouts: { scheduleToClose: seconds(3_600) },
    },
    call: { disposition: 'OWNER_BOUND', max_attempts: 3, jitter: 'false', non_retryable_codes: '{a,b}', schedule_to_close: '1 hour' },
  },
  'externally owned': { spec: { disposition: Disposition.EXTERNALLY_OWNED }, call: { disposition: 'EXTERNALLY_OWNED' } },
};

describe('a job of the door', () => {
  it.each(Object.entries(alike))('%s is told as one that came over gRPC', async (_, { spec, call }) => {
    const other = new Scene(stint);
    const { jobId: sent } = await other.enqueue(spec);
    const entered = await door(call);
    const full = async ({ namespace }: Scene, jobId: string) => await stint.getJob({ namespace, jobId, view: JobView.FULL });
    const [ofWire, ofDoor] = [await full(other, sent), await full(scene, entered)];
    const own = { namespace: scene.namespace, jobId: entered };
    const { createdAt } = ofDoor.job ?? expect.unreachable();
    expect(ofDoor).toEqual({ ...ofWire, job: { ...ofWire.job, ...own, createdAt } });
    const events = await scene.events(entered);
    expect(events).toEqual((await other.events(sent)).map((event) => ({ ...event, ...own, occurredAt: createdAt })));
    expect((await collect(stint.subscribe({ ...own, scope: everything, start: fromBeginning }), upTo(1))).events).toEqual(events);
  });

  it('is worked on like any other', async () => {
    const jobId = await door({ payload: 'in' });
    const held = await scene.claimOne();
    expect(held).toMatchObject({ jobId, claimed: { payload: Buffer.from('in') } });
    await stint.ack({ leaseToken: held.leaseToken });
    expect(await scene.eventTypes(jobId)).toEqual(['enqueued', 'claimed', 'started', 'succeeded']);
  });

  it('that is due soon becomes READY without anybody asking', async () => {
    const run_at = new Date(Date.now() + 50).toISOString();
    const jobId = await door({ run_at });
    expect((await scene.claimOne()).jobId).toBe(jobId);
    expect(await scene.eventTypes(jobId)).toEqual(['enqueued', 'ready', 'claimed', 'started']);
  });
});

describe('an open transaction', () => {
  it('shows a parked claim nothing, and wakes it with its commit', async () => {
    let answered = false;
    // Shorter than the five seconds after which a parked claim looks by itself.
    const parked = scene.claim({ wait: seconds(4) }).finally(() => {
      answered = true;
    });
    await app`begin`;
    const jobId = await door();
    expect(await reasonOf(scene.job(jobId))).toBe('NOT_FOUND/JOB_NOT_FOUND');
    // Whole rounds of the service go by: a ring before the commit would have been heard by then.
    await scene.enqueue({ queue: 'other' });
    expect((await scene.claim({ queues: ['other'], wait: seconds(5) })).jobs).toHaveLength(1);
    expect((await scene.claim({ workerId: 'worker-2' })).jobs).toEqual([]);
    expect(answered).toBe(false);
    await app`commit`;
    expect((await parked).jobs.map(({ job }) => job?.jobId)).toEqual([jobId]);
  });

  it('that is rolled back leaves no job, no event, no key and no queue', async () => {
    await app`begin`;
    const jobId = await door({ idempotency_key: 'k' });
    await app`rollback`;
    expect(await reasonOf(scene.job(jobId))).toBe('NOT_FOUND/JOB_NOT_FOUND');
    expect(await reasonOf(stint.getQueue({ namespace: scene.namespace, queue: scene.queue }))).toBe('NOT_FOUND/QUEUE_NOT_FOUND');
    const next = await scene.enqueue({ idempotencyKey: 'k' });
    expect(next.jobId).not.toBe(jobId);
    const follower = stint.subscribe({ namespace: scene.namespace, scope: everything, start: fromBeginning });
    expect((await collect(follower, upTo(1))).events).toMatchObject([{ jobId: next.jobId, sequence: 1n, type: 'enqueued' }]);
    for (const table of ['job', 'ready', 'idem'] as const) {
      const column = table === 'job' ? 'id' : 'job';
      expect(await app`select 1 from stint.${app(table)} where ${app(column)} = ${jobId}`).toEqual([]);
    }
    expect(await app`select 1 from stint.journal where ${jobId} = any(jobs)`).toEqual([]);
  });

  it('holds up no stream, and what it brings comes late and whole, also to one that goes on from a cursor of before', async () => {
    const { namespace } = scene;
    await app`begin`;
    const late = [await door(), await door({ run_at: '2199-01-01' }), await door({ queue: 'new' })];
    const before = await scene.enqueue({ queue: 'other' });
    const live = stint.subscribe({ namespace, scope: everything, start: fromBeginning });
    let first = await live.next();
    while (first.events.length === 0) first = await live.next();
    expect(first.events.map(({ jobId }) => jobId)).toEqual([before.jobId]);
    await app`commit`;
    const { events } = await collect(live, upTo(3));
    expect(events.map(({ jobId }) => jobId)).toEqual(late);
    expect(events.map(({ queue }) => queue)).toEqual([scene.queue, scene.queue, 'new']);
    const resumed = stint.subscribe({ namespace, scope: everything, start: { $case: 'cursor', cursor: first.cursor } });
    expect((await collect(resumed, upTo(3))).events).toEqual(events);
  });

  it('that brings many jobs brings them in the order of its calls', async () => {
    await app`begin`;
    await app.unsafe(
      `select (stint.enqueue('${scene.queue}', namespace => '${scene.namespace}', payload => convert_to(n::text, 'UTF8'))).job_id from generate_series(1, 100) n`,
    );
    await app`commit`;
    const { jobs } = await scene.claim({ maxJobs: 100, wait: seconds(5) });
    expect(jobs.map(({ payload }) => Number(Buffer.from(payload).toString()))).toEqual(
      Array.from({ length: 100 }, (_, index) => index + 1),
    );
  });

  it('holds up a call with its key until it ends, and no other call', async () => {
    await scene.enqueue({ priority: -1 });
    await app`begin`;
    const jobId = await door({ idempotency_key: 'k' });
    const waiting = stint.enqueue({ namespace: scene.namespace, job: { queue: scene.queue, type: 'test', idempotencyKey: 'k' } });
    await scene.enqueue({ idempotencyKey: 'stranger' });
    await app`commit`;
    expect(await waiting).toMatchObject({ deduplicated: true, job: { jobId } });
  });
});

describe('a key', () => {
  const spec = { type: 'test', payload: Buffer.from('p'), idempotencyKey: 'k' };

  it('of the door is deduplicated over gRPC', async () => {
    const jobId = await door({ payload: 'p', idempotency_key: 'k' });
    const call = { namespace: scene.namespace, job: { ...spec, queue: scene.queue } };
    expect(await stint.enqueue(call)).toMatchObject({ deduplicated: true, job: { jobId, state: JobState.READY } });
    const refused = await refusal(stint.enqueue({ ...call, job: { ...call.job, type: 'other' } }));
    expect(refused.info).toMatchObject({ reason: 'DUPLICATE_JOB', metadata: { job_id: jobId } });
  });

  it('that came over gRPC is deduplicated at the door', async () => {
    const { jobId } = await scene.enqueue(spec);
    expect(await door({ payload: 'p', idempotency_key: 'k' })).toBe(jobId);
    await expect(door({ payload: 'other', idempotency_key: 'k' })).rejects.toMatchObject({ code: '23505', detail: `job_id ${jobId}` });
  });
});
