/** The real storage on a database of its own, with time played by the test, and the few words tests say to it. */
import { randomUUID } from 'node:crypto';
import type { Sql } from 'postgres';
import { type JobId, type JobSpec, NO_TIMEOUTS } from '../../src/domain/job.ts';
import { parseLeaseToken, type LeaseToken } from '../../src/domain/lease.ts';
import type { Queue } from '../../src/domain/queue.ts';
import { contentDigest } from '../../src/engine/jobs/content-digest.ts';
import { JobIdMint } from '../../src/engine/jobs/mint-job-id.ts';
import type { Clock } from '../../src/engine/ports/clock.ts';
import type { ClaimedJob, ClaimSlot, EnqueueItem, Repository } from '../../src/engine/ports/repository.ts';
import { openStore, type Store } from '../../src/repository/store.ts';
import { PlayedClock } from '../support/clock.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';

/** A job with nothing special but what is told. */
export function jobSpec(told: Partial<JobSpec> = {}): JobSpec {
  return {
    queue: 'q',
    type: '',
    payload: Buffer.from('payload'),
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
    disposition: 'RERUNNABLE',
    fairnessKey: '',
    retry: { maxAttempts: null, initialBackoffMs: null, multiplier: null, maxBackoffMs: null, jitter: null, nonRetryableCodes: null },
    ...told,
  };
}

export function policy(told: Partial<JobSpec['retry']>): JobSpec['retry'] {
  return { ...jobSpec().retry, ...told };
}

/** Minutes: a test that waits for a lock on purpose decides itself when it ends. */
export const PATIENT = 'lock_timeout=120000&statement_timeout=120000';

export class Stage {
  readonly database: TestDatabase;
  readonly clock = new PlayedClock();
  readonly mint = new JobIdMint();
  readonly store: Store;
  readonly #stores: Store[];

  private constructor(database: TestDatabase, store: Store) {
    this.database = database;
    this.store = store;
    this.#stores = [store];
  }

  static async open(): Promise<Stage> {
    const database = await createDatabase();
    const clocks: PlayedClock[] = [];
    const store = await openStore({ url: database.url, clock: { now: () => clocks[0]?.now() ?? null }, random: () => 0 });
    const stage = new Stage(database, store);
    clocks.push(stage.clock);
    await store.repository.ensurePartitions();
    return stage;
  }

  get repository(): Repository {
    return this.store.repository;
  }

  get sql(): Sql {
    return this.database.sql;
  }

  /** Played time, in microseconds. */
  get now(): number {
    return this.clock.now().getTime() * 1_000;
  }

  /** Another replica's storage on the same database; `settings` go to its connections. */
  async replica({ settings = '', clock = this.clock }: { settings?: string; clock?: Clock } = {}): Promise<Store> {
    const store = await openStore({ url: `${this.database.url}?${settings}`, clock, random: () => 0 });
    this.#stores.push(store);
    return store;
  }

  async another(told: { settings?: string; clock?: Clock } = {}): Promise<Repository> {
    return (await this.replica(told)).repository;
  }

  /** A queue that no other test uses, in a namespace that no other test uses. */
  async queue(names: { readonly name?: string; readonly namespace?: string } = {}): Promise<Queue> {
    const [queue] = await this.repository.createQueues([{ namespace: names.namespace ?? `n-${randomUUID()}`, name: names.name ?? 'q' }]);
    if (queue === undefined) throw new Error('no queue was made');
    return queue;
  }

  item(queue: Queue, told: Partial<JobSpec> = {}): EnqueueItem {
    const spec = jobSpec({ queue: queue.name, ...told });
    return { queue, spec, jobId: spec.jobId ?? this.mint.mint(), digest: contentDigest(spec) };
  }

  /** Enqueues one fresh job for each; their ids. */
  async enqueue(queue: Queue, ...told: Partial<JobSpec>[]): Promise<readonly JobId[]> {
    const outcomes = await this.repository.enqueueMany(told.map((one) => this.item(queue, one)));
    return outcomes.map((outcome) => {
      if (outcome.kind !== 'enqueued') throw new Error(`not enqueued: ${outcome.kind}`);
      return outcome.job.jobId;
    });
  }

  async claim(queues: Queue | readonly Queue[], told: Partial<ClaimSlot> = {}): Promise<readonly ClaimedJob[]> {
    const { jobs } = await this.repository.claim('id' in queues ? [queues] : queues, [slot(told)]);
    return jobs[0] ?? [];
  }

  /** One job, enqueued and claimed. */
  async held(queue: Queue, { job = {}, claim = {} }: { job?: Partial<JobSpec>; claim?: Partial<ClaimSlot> } = {}): Promise<ClaimedJob> {
    await this.enqueue(queue, job);
    const [claimed] = await this.claim(queue, claim);
    if (claimed === undefined) throw new Error('nothing was claimed');
    return claimed;
  }

  async job(jobId: JobId) {
    const [job] = await this.repository.getJobs([jobId]);
    if (job === null || job === undefined) throw new Error(`no job ${jobId}`);
    return job;
  }

  async eventTypes(jobId: JobId): Promise<readonly string[]> {
    const history = await this.repository.history(jobId, 0, 1_000);
    return history?.events.map(({ detail }) => detail.type) ?? [];
  }

  /** Everything that CheckInvariants has to say of a namespace; empty is sound. */
  async violations(namespace: string): Promise<readonly unknown[]> {
    const found: unknown[] = [];
    for (let after: string | null | undefined; after !== null;) {
      const page = await this.repository.checkInvariants(namespace, 1_000, after ?? null);
      found.push(...page.violations);
      after = page.next;
    }
    return found;
  }

  /** Until so many sessions of this database wait for a lock. */
  async waitingForLocks(count: number): Promise<void> {
    for (;;) {
      const [row] = await this.sql<{ count: number }[]>`
        select count(*)::int from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
      if (row?.count === count) return;
    }
  }

  /** A stranger's open transaction that has run `work`; what it locks stays locked until it ends. */
  async stranger(work: (sql: Sql) => PromiseLike<unknown>): Promise<{ commit: () => Promise<void>; rollback: () => Promise<void> }> {
    const connection = await this.sql.reserve();
    await connection`begin`;
    await work(connection);
    const end = async (how: PromiseLike<unknown>) => {
      await how;
      connection.release();
    };
    return { commit: () => end(connection`commit`), rollback: () => end(connection`rollback`) };
  }

  async close(): Promise<void> {
    await Promise.all(this.#stores.map((store) => store.close()));
    await this.database.drop();
  }
}

export function slot(told: Partial<ClaimSlot> = {}): ClaimSlot {
  return { workerId: 'w', maxJobs: 1, leaseDurationMs: null, startOnClaim: true, requestId: null, secret: randomUUID(), ...told };
}

export function tokenOf({ lease }: ClaimedJob): LeaseToken {
  const token = parseLeaseToken(lease.leaseToken);
  if (token === null) throw new Error('an unreadable token');
  return token;
}

export const idsOf = (jobs: readonly ClaimedJob[]) => jobs.map(({ job }) => job.jobId);
