import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type JobId, type JobSpec, NO_TIMEOUTS } from '../../src/domain/job.ts';
import { parseLeaseToken } from '../../src/domain/lease.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { Queue } from '../../src/domain/queue.ts';
import { JobIdMint } from '../../src/engine/jobs/mint-job-id.ts';
import type { ClaimedJob, EnqueueItem } from '../../src/engine/ports/repository.ts';
import { openEpoch } from '../../src/repository/epoch.ts';
import { appendMany } from '../../src/repository/events/append.ts';
import { jobFacts } from '../../src/repository/events/history.ts';
import { createJournal } from '../../src/repository/events/journal.ts';
import { enqueueMany } from '../../src/repository/jobs/enqueue-many.ts';
import type { Run } from '../../src/repository/database.ts';
import { cancelling } from '../../src/repository/jobs/cancel.ts';
import { completing } from '../../src/repository/jobs/complete-externally.ts';
import { getJobs } from '../../src/repository/jobs/get-jobs.ts';
import { operate } from '../../src/repository/jobs/operate.ts';
import { abandoning } from '../../src/repository/jobs/request-abandon.ts';
import { resuming } from '../../src/repository/jobs/resume.ts';
import { retrying } from '../../src/repository/jobs/retry.ts';
import { updating } from '../../src/repository/jobs/update.ts';
import { peekQueue } from '../../src/repository/queues/peek-queue.ts';
import { queueFigures } from '../../src/repository/queues/figures.ts';
import { queueStatsReader } from '../../src/repository/queues/get-queue-stats.ts';
import { createQueues } from '../../src/repository/queues/resolve-queues.ts';
import { ensurePartitions } from '../../src/repository/upkeep/ensure-partitions.ts';
import { expireThese } from '../../src/repository/upkeep/expire-leases.ts';
import { beginTallies, foldJournal } from '../../src/repository/upkeep/fold-journal.ts';
import { DueLook } from '../../src/repository/upkeep/next-due.ts';
import { promoteDue } from '../../src/repository/upkeep/promote-due.ts';
import { timeOut } from '../../src/repository/upkeep/time-out.ts';
import { ackMany } from '../../src/repository/workers/ack.ts';
import { claim } from '../../src/repository/workers/claim.ts';
import { failMany } from '../../src/repository/workers/fail.ts';
import { heartbeatMany } from '../../src/repository/workers/heartbeat.ts';
import { heldAttempts } from '../../src/repository/workers/held-attempts.ts';
import { leasesOfRequest } from '../../src/repository/workers/leases-of-request.ts';
import { releaseMany } from '../../src/repository/workers/release.ts';
import { startMany } from '../../src/repository/workers/start.ts';
import { suspendMany } from '../../src/repository/workers/suspend.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { explaining, type Explained } from '../support/explain.ts';

/** CI lays a million, which takes a minute. */
const MANY = Number(process.env['STINT_PLAN_JOBS'] ?? 200_000);
const FEW = 1_000;

const spec: JobSpec = {
  queue: 'q',
  type: 'work',
  payload: Buffer.alloc(200),
  contentType: '',
  headers: {},
  labels: {},
  jobId: null,
  idempotency: null,
  onDuplicate: 'RETURN_EXISTING',
  priority: 0,
  runAt: null,
  concurrencyKey: '',
  timeouts: NO_TIMEOUTS,
  disposition: 'RERUNNABLE' as const,
  fairnessKey: '',
  retry: { maxAttempts: null, initialBackoffMs: null, multiplier: null, maxBackoffMs: null, jitter: null, nonRetryableCodes: null },
};

describe('each hot statement', () => {
  let database: TestDatabase;
  let queue: Queue;
  /** Nothing is in it: a claim looks for it in each of its spans. */
  let empty: Queue;
  /** All that is in it comes after what is in the first. */
  let behind: Queue;
  const mint = new JobIdMint();
  /** What the statements cost with few rows, by name: what they may cost with many. */
  let few: ReadonlyMap<string, Explained>;

  beforeAll(async () => {
    database = await createDatabase();
    const { run, close } = await explaining(database.url);
    await openEpoch(run);
    const [made, other, last] = await createQueues(
      run,
      ['q', 'empty', 'behind'].map((name) => ({ namespace: 'default', name })),
    );
    if (made === undefined || other === undefined || last === undefined) throw new Error('no queue');
    queue = made;
    empty = other;
    behind = last;
    await database.sql`
      insert into stint.floor (shard, queue_id, rank, ord, mark, mark_xid)
      select 0, id, 0, 1, 1, '1' from stint.queue where id in (${queue.id}, ${empty.id})`;
    await ensurePartitions(run, null);
    await beginTallies(run, null);
    await close();
  });
  afterAll(() => database.drop());

  /** Runs every hot statement once on what is there, and tells its plan. */
  async function everyStatement(): Promise<ReadonlyMap<string, Explained>> {
    const explained = await explaining(database.url);
    const { run } = explained;
    const item = (key: string | null): EnqueueItem => ({
      queue,
      jobId: mint.mint(),
      digest: Buffer.alloc(32),
      spec: { ...spec, idempotency: key === null ? null : { key, scope: 'RETAINED', ttlMs: null } },
    });
    const key = randomUUID();
    await enqueueMany(run, null, [...Array.from({ length: 9 }, () => item(null)), item(key)]);
    await enqueueMany(run, null, [item(key)]);
    const claimed = await claimTen(run, [queue], 'r1');
    const [one, two, three, four] = claimed;
    if (one === undefined || two === undefined || three === undefined || four === undefined) throw new Error('nothing to claim');
    await claimTen(run, [queue, empty], null);
    await claimTen(run, [empty], null);
    await claimTen(run, [queue, behind], null);
    await leasesOfRequest(run, null, 'default', 'w', 'r1');
    await heartbeatMany(run, null, [held(one), held(two)]);
    await heldAttempts(run, [held(one).token, held(two).token]);
    await startMany(run, null, [held(one)]);
    await ackMany(run, null, [{ ...held(one), result: Buffer.alloc(10), contentType: '' }]);
    await ackMany(run, null, [{ ...held(one), result: Buffer.alloc(10), contentType: '' }]);
    const failure = { code: 'x', message: '', details: Buffer.alloc(0), kind: 'RETRYABLE' as const };
    await failMany(run, null, [{ ...held(two), failure, retryAfterMs: 0, jitterFactor: 0.5 }]);
    await releaseMany(run, null, [{ ...held(three), delayMs: 0 }]);
    const ids = claimed.map(({ job }) => job.jobId);
    await getJobs(run, ids);
    await peekQueue(run, null, queue, 10);
    await queueStatsReader({ run, slow: run })(null, queue);
    await foldJournal({ run, slow: run }, null, 100);
    await queueStatsReader({ run, slow: run })(null, queue);
    await queueFigures(run, null, 100);
    const first = { jobId: ids[0] ?? expect.unreachable(), after: 0 };
    await jobFacts(run, [first], 100);
    await jobFacts(run, [first], 100, { types: ['claimed', 'fact'], recent: 3 });
    await promoteDue(run, null, 10);
    await operateOnEach(run, claimed.slice(4));
    await appendCounted(run, claimed[7] ?? expect.unreachable());
    await timeOut(run, null, 10);
    const journal = createJournal(run);
    const head = await journal.head();
    await releaseMany(run, null, [{ ...held(four), delayMs: 0 }]);
    await journal.read(head, null);
    await explained.close();
    return explained.plans;
  }

  async function claimTen(run: Run, queues: readonly Queue[], requestId: string | null): Promise<readonly ClaimedJob[]> {
    const { jobs } = await claim(run, null, queues, [
      { workerId: 'w', maxJobs: 10, leaseDurationMs: null, startOnClaim: true, requestId, secret: randomUUID() },
    ]);
    return jobs.flat();
  }

  /** To a job with so many events that its custom ones are counted. */
  async function appendCounted(run: Run, { job }: ClaimedJob): Promise<void> {
    const { jobId } = job;
    await database.sql`update stint.lease set seq = ${LIMITS.customEventsPerJob} where job = ${jobId}`;
    const item = { namespace: 'default', jobId, token: null, replayKey: null, type: 'fact', data: Buffer.alloc(10), contentType: '' };
    expect((await appendMany({ transaction: (work) => work(run) }, null, [item])).map(({ kind }) => kind)).toEqual(['appended']);
  }

  /** Each operator's action on a job that it changes. */
  async function operateOnEach(run: Run, claimed: readonly ClaimedJob[]): Promise<void> {
    const database = { transaction: <T>(work: (within: Run) => Promise<T>) => work(run) };
    const [five, six, seven] = claimed;
    if (five === undefined || six === undefined || seven === undefined) throw new Error('too few are claimed');
    const item = ({ job }: Pick<ClaimedJob, 'job'>) => {
      const request = { requestId: randomUUID(), digest: Buffer.alloc(32) };
      return { namespace: 'default', jobId: job.jobId, request, reason: 'why' };
    };
    const [ready] = await enqueueMany(run, null, [{ queue, jobId: mint.mint(), digest: Buffer.alloc(32), spec }]);
    if (ready?.kind !== 'enqueued') throw new Error('nothing to cancel');
    await operate(database, null, [{ ...item(ready), change: { priority: 3 } }], updating);
    const [cancelled] = await operate(database, null, [item(ready)], cancelling);
    expect(cancelled).toMatchObject({ kind: 'applied', outcome: 'CANCELLED' });
    await operate(database, null, [item(ready)], retrying);
    const fact = { type: 'fact', data: Buffer.alloc(10), contentType: '' };
    for (const replayKey of ['k', 'k', null]) {
      const facts = [
        { ...item(ready), token: null, replayKey, ...fact },
        { ...item(seven), ...held(seven), replayKey, ...fact },
      ];
      const outcomes = await appendMany(database, null, facts);
      expect(outcomes.map(({ kind }) => kind)).not.toContain('refused');
    }
    await operate(database, null, [item(five)], cancelling);
    await operate(database, null, [item(six)], abandoning);
    await suspendMany(run, null, [{ ...held(seven), checkpoint: Buffer.alloc(10), reason: 'why' }]);
    await operate(database, null, [item(seven)], resuming);
    const completion = { kind: 'failure', failure: { code: '', message: '', details: Buffer.alloc(0), kind: 'TERMINAL' } } as const;
    const evidence = { authority: 'a', data: Buffer.alloc(0), contentType: '' };
    const external: JobSpec = { ...spec, disposition: 'EXTERNALLY_OWNED' };
    const [owned] = await enqueueMany(run, null, [{ queue, jobId: mint.mint(), digest: Buffer.alloc(32), spec: external }]);
    if (owned?.kind !== 'enqueued') throw new Error('nothing to complete');
    await operate(database, null, [{ ...item(owned), completion, evidence }], completing);
    await expireThese(run, null, [five.job.jobId]);
  }

  it('reads no table from end to end, when tables are empty and freshly vacuumed', async () => {
    await everyStatement();
    await database.sql.unsafe('truncate stint.ready, stint.lease, stint.deferred, stint.parked');
    await database.sql.unsafe('vacuum analyze');
    expectIndexed(await everyStatement());
  });

  it('reads no table from end to end, with few rows', async () => {
    await fill(database, queue, FEW, behind);
    few = await everyStatement();
    expectIndexed(few);
  });

  it(`reads no more with ${MANY} ready jobs, and as many scheduled beside them, than with ${FEW}`, { timeout: 240_000 }, async () => {
    await fill(database, queue, MANY, behind);
    await database.sql.unsafe('vacuum analyze');
    const many = await everyStatement();
    expectIndexed(many);
    for (const [name, { buffers, heaviest }] of many) {
      const before = few.get(name)?.buffers ?? 0;
      // One more level in each index it descends is the price of a thousand times the rows.
      expect(buffers, `${name}: ${before} buffers with few rows, ${buffers} with many: ${heaviest.join('; ')}`).toBeLessThanOrEqual(
        before * 2 + 100,
      );
    }
  });

  it('looks for what is due beside all of them by the first rows of indexes, the leases apart', async () => {
    await database.sql.unsafe('truncate stint.lease');
    const { run, plans, close } = await explaining(database.url);
    await new DueLook().look(run, null);
    await close();
    expect(plans.get('next-due')?.buffers).toBeLessThanOrEqual(1_000);
  });
});

function held({ lease }: ClaimedJob) {
  const token = parseLeaseToken(lease.leaseToken);
  if (token === null) throw new Error('no token');
  return { token, checkpoint: null };
}

function expectIndexed(plans: ReadonlyMap<string, Explained>): void {
  expect([...plans.keys()]).toEqual(
    expect.arrayContaining([
      'enqueue',
      'claim',
      'claim-many-queues',
      'heartbeat',
      'start',
      'ack',
      'fail',
      'release',
      'suspend',
      'cancel',
      'retry',
      'queue-figures',
    ]),
  );
  for (const [name, { scanned }] of plans) expect(scanned, `${name} scans whole tables`).toEqual([]);
}

/** So many READY jobs with their records, as many deferred ones that are due in a year, and a tenth as many in flight; a tenth behind them. */
async function fill({ sql }: TestDatabase, { id }: Queue, count: number, behind: Queue): Promise<void> {
  await sql`
    with j as (
      insert into stint.job (shard, id, namespace, queue_id, type, rank, ord, created_at, digest, content_type, headers, labels, payload)
      select 0, (${prefixOf(new JobIdMint().mint())} || lpad(to_hex(g), 12, '0'))::uuid, 'default', ${id}, '', 0, nextval('stint.job_ord'),
             now(), '', '', '{}', '{}', ''
        from generate_series(1, ${count}::int) g
      returning queue_id, rank, ord, id)
    insert into stint.ready (shard, queue_id, rank, ord, job, attempt, fence, life, seq, releases, size, checkpointed)
    select 0, queue_id, rank, ord, id, 0, 0, 1, 1, 0, 600, false from j`;
  await sql`
    insert into stint.ready (shard, queue_id, rank, ord, job, attempt, fence, life, seq, releases, size, checkpointed, out_of_order)
    select 0, ${behind.id}, 0, nextval('stint.job_ord'), gen_random_uuid(), 0, 0, 1, 1, 0, 600, false, false
      from generate_series(1, ${Math.ceil(count / 10)}::int)`;
  await sql`
    insert into stint.deferred (shard, job, due_at, kind, queue_id, rank, attempt, fence, life, seq, releases, size, checkpointed)
    select 0, gen_random_uuid(), now() + interval '1 year' + g * interval '1 second', 1, ${id}, 0, 0, 0, 1, 1, 0, 600, false
      from generate_series(1, ${count}::int) g`;
  await sql`
    insert into stint.lease (shard, job, token, namespace, worker, until, duration_ms, grace_ms, queue_id, rank, ord, claimed_at,
        claimed_seq, attempt, fence, life, seq, releases, size, checkpointed)
    select 0, gen_random_uuid(), gen_random_uuid(), 'default', 'other', now() + interval '1 day', 30000, 5000, ${id}, 0, -g, now(),
           2, 1, 1, 1, 2, 0, 600, false
      from generate_series(1, ${Math.ceil(count / 10)}::int) g`;
}

/** The time and version of an id, up to its random part. */
function prefixOf(jobId: JobId): string {
  return jobId.slice(0, 24);
}
