/**
 * The tables, as Drizzle knows them: the source of `drizzle-kit generate` and of the few builder queries. What Drizzle
 * cannot say (partitions, storage parameters, functions) stands in the migrations; `schema.sql` is the dump of both.
 *
 * A job is an immutable record (`job`) plus exactly one narrow row that moves: `ready`, `lease`, `deferred` or `parked`, until
 * a `terminal` row ends it. Where that row lies is the state. `shard` leads every key and stands on every table reference.
 */
import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  customType,
  doublePrecision,
  index,
  integer,
  jsonb,
  pgSchema,
  primaryKey,
  smallint,
  text,
  timestamp,
  unique,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';

export const stint = pgSchema('stint');

const bytea = customType<{ data: Buffer }>({ dataType: () => 'bytea' });
const xid8 = customType<{ data: string }>({ dataType: () => 'xid8' });
const pgSnapshot = customType<{ data: string }>({ dataType: () => 'pg_snapshot' });
const instant = (name: string) => timestamp(name, { withTimezone: true, mode: 'string' });
const int8 = (name: string) => bigint(name, { mode: 'bigint' });

/**
 * Positions in the backlog: drawn when a job becomes READY, so FIFO is by position. CACHE 1, or sessions would interleave. The room between
 * two is that of jobs with fairness keys: see `positions.ts`.
 */
export const jobOrd = stint.sequence('job_ord', { increment: 65_536 });
/** Order of the journal: drawn in the insert that reads the rows its statement locked. */
export const journalN = stint.sequence('journal_n');
/** Emit order of dead letters. */
export const deadLetterN = stint.sequence('dead_letter_n');

/**
 * Which migrations made these tables, and the oldest of all releases that work on them, told by the migration that its tables begin with: what
 * a service compares with its own before it serves, and while it does. Each migration writes its number here.
 */
export const schemaVersion = stint.table(
  'schema_version',
  {
    shard: smallint('shard').notNull(),
    version: integer('version').notNull(),
    servesFrom: integer('serves_from').notNull(),
  },
  (t) => [primaryKey({ columns: [t.shard] })],
);

/** One history of the database: a restore or a fail-over begins another, and transaction ids, cursors and fences know. */
export const epoch = stint.table(
  'epoch',
  {
    shard: smallint('shard').notNull(),
    number: integer('number').notNull(),
    id: uuid('id').notNull(),
    systemIdentifier: int8('system_identifier').notNull(),
    timeline: text('timeline').notNull(),
    /** OIDs of the database and of this table: a dump that is restored in its own cluster gets others. */
    home: text('home').notNull(),
    openedAt: instant('opened_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.shard, t.number] })],
);

export const queue = stint.table(
  'queue',
  {
    shard: smallint('shard').notNull(),
    id: integer('id').generatedByDefaultAsIdentity().notNull(),
    namespace: text('namespace').notNull(),
    name: text('name').notNull(),
    createdAt: instant('created_at').notNull().defaultNow(),
    leaseDurationMs: integer('lease_duration_ms').notNull().default(30_000),
    leaseGraceMs: integer('lease_grace_ms').notNull().default(5_000),
    cancellationBudgetMs: int8('cancellation_budget_ms')
      .notNull()
      .default(sql`30000`),
    maxAttempts: integer('max_attempts').notNull().default(10),
    initialBackoffMs: int8('initial_backoff_ms')
      .notNull()
      .default(sql`1000`),
    multiplier: doublePrecision('multiplier').notNull().default(2),
    maxBackoffMs: int8('max_backoff_ms')
      .notNull()
      .default(sql`600000`),
    jitter: boolean('jitter').notNull().default(true),
    nonRetryableCodes: text('non_retryable_codes')
      .array()
      .notNull()
      .default(sql`'{}'`),
    deadLetterEnabled: boolean('dead_letter_enabled').notNull().default(true),
    /** Number of the queue that gets copies; null: none. */
    deadLetterQueueId: integer('dead_letter_queue_id'),
    deadLetterPayloadBytes: integer('dead_letter_payload_bytes').notNull().default(65_536),
    /** Slots of each concurrency key. */
    concurrencyPerKey: integer('concurrency_per_key').notNull().default(1),
    /** Whether a job keeps its slot while it waits for another try or is suspended. */
    concurrencyHold: boolean('concurrency_hold').notNull().default(false),
    /** Claims of one concurrency key in a period, and as many at once after a quiet time; null: as many as are asked for. */
    keyRatePermits: integer('key_rate_permits'),
    keyRatePeriodMs: int8('key_rate_period_ms'),
    keyRateBurst: integer('key_rate_burst'),
    /** By fairness key: 1 to 1,000. A key that is not there has 1. */
    fairnessWeights: jsonb('fairness_weights')
      .notNull()
      .default(sql`'{}'`),
    /** How long jobs are kept behind their end: 7 days where nobody says otherwise. */
    retentionMs: int8('retention_ms')
      .notNull()
      .default(sql`604800000`),
    /** 1 pull only, 2 push only, 3 both. */
    mode: smallint('mode').notNull().default(3),
    /** 1 active, 2 paused, 3 draining its backlog, 4 draining what is in flight. */
    status: smallint('status').notNull().default(1),
    statusReason: text('status_reason').notNull().default(''),
    updatedAt: instant('updated_at').notNull().defaultNow(),
    /** Whether its READY tokens carry their type: 0 none, 1 those that came since it was first claimed by type, 2 all. */
    sorted: smallint('sorted').notNull().default(0),
  },
  (t) => [primaryKey({ columns: [t.shard, t.id] }), unique('queue_name').on(t.shard, t.namespace, t.name)],
);

/**
 * The bounds of a queue, and the count of its tokens, kept in the transaction that moves them. There is a row while the queue is bounded
 * or drains. Who must know a count before it moves a token locks the row first: what is locked is the latest, however old the snapshot.
 */
export const gate = stint.table(
  'gate',
  {
    shard: smallint('shard').notNull(),
    queueId: integer('queue_id').notNull(),
    /** Null: unbounded. */
    maxInFlight: integer('max_in_flight'),
    /** Of one worker. */
    maxPerWorker: integer('max_per_worker'),
    maxQueued: integer('max_queued'),
    /** Claims in a period, and as many at once after a quiet time; null: as many as are asked for. */
    ratePermits: integer('rate_permits'),
    ratePeriodMs: int8('rate_period_ms'),
    rateBurst: integer('rate_burst'),
    scheduled: int8('scheduled').notNull(),
    blocked: int8('blocked')
      .notNull()
      .default(sql`0`),
    ready: int8('ready').notNull(),
    leased: int8('leased').notNull(),
    running: int8('running').notNull(),
    retryWait: int8('retry_wait').notNull(),
    suspended: int8('suspended').notNull(),
    /** Claims that may be given at `filled_at`: the level of the token bucket. */
    permits: doublePrecision('permits').notNull(),
    filledAt: instant('filled_at').notNull(),
    /** Claims given since `counted_at`, for the rate at which it drains. */
    claims: int8('claims').notNull(),
    countedAt: instant('counted_at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.shard, t.queueId] })],
);

/**
 * The slots of a concurrency key: a job that is READY or in flight holds one, and so does one that waits for another try where its queue
 * says so. Changed in the transaction that moves the token. There is a row while jobs of the key wait or hold, or it is paused.
 */
export const slot = stint.table(
  'slot',
  {
    shard: smallint('shard').notNull(),
    queueId: integer('queue_id').notNull(),
    key: text('key').notNull(),
    /** Jobs that hold one. */
    held: integer('held').notNull(),
    /** Of those, the READY ones. */
    ready: integer('ready').notNull(),
    /** Claims that may be given at `filled_at`: the level of the key's token bucket. */
    permits: doublePrecision('permits').notNull(),
    filledAt: instant('filled_at').notNull(),
    /** No job of the key becomes READY before, by the word of a worker. */
    pausedUntil: instant('paused_until'),
    /** When to look whether jobs of the key may become READY; null: nothing can have changed. */
    wakeAt: instant('wake_at'),
  },
  (t) => [
    primaryKey({ columns: [t.shard, t.queueId, t.key] }),
    index('slot_wake')
      .on(t.shard, t.wakeAt)
      .where(sql`wake_at is not null`),
  ],
);

/**
 * Where each fairness key that has jobs stands in the backlog of a queue and a rank. The row of the empty key is there while keys are in use:
 * jobs without a key are one more then. Whoever gives positions to jobs of a key holds its row until the commit.
 */
export const fair = stint.table(
  'fair',
  {
    shard: smallint('shard').notNull(),
    queueId: integer('queue_id').notNull(),
    rank: int8('rank').notNull(),
    key: text('key').notNull(),
    /** Not below any position that a job of the key has been given. */
    last: int8('last').notNull(),
    /** By how much the latest statement moved it: what an upsert hands to a row that is there. */
    span: int8('span').notNull(),
  },
  (t) => [primaryKey({ columns: [t.shard, t.queueId, t.rank, t.key] })],
);

/** What an open transaction has brought through the SQL door into a queue that has a gate: its commit counts it, and takes the row away. */
export const doorPending = stint.table(
  'door_pending',
  {
    shard: smallint('shard').notNull(),
    xid: xid8('xid').notNull(),
    queueId: integer('queue_id').notNull(),
    scheduled: int8('scheduled').notNull(),
    ready: int8('ready').notNull(),
  },
  (t) => [primaryKey({ columns: [t.shard, t.xid, t.queueId] })],
);

/** What an operator did. Insert only. */
export const audit = stint.table(
  'audit',
  {
    shard: smallint('shard').notNull(),
    namespace: text('namespace').notNull(),
    n: int8('n').generatedByDefaultAsIdentity().notNull(),
    at: instant('at').notNull(),
    /** Empty: of the whole namespace. */
    queue: text('queue').notNull(),
    action: text('action').notNull(),
    /** Who asked, as far as the service knows. */
    actor: text('actor').notNull(),
    reason: text('reason').notNull(),
    /** What it was before and after, as JSON. */
    before: text('before').notNull(),
    after: text('after').notNull(),
  },
  (t) => [primaryKey({ columns: [t.shard, t.namespace, t.n] })],
);

/** A namespace that an operator has stopped: there is a row while it is paused. */
export const pausedNamespace = stint.table(
  'paused_namespace',
  {
    shard: smallint('shard').notNull(),
    namespace: text('namespace').notNull(),
    reason: text('reason').notNull(),
    at: instant('at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.shard, t.namespace] })],
);

/** Insert only. Partitioned by id: a UUIDv7 begins with its time, so a day of jobs leaves by dropping a table. */
export const job = stint.table(
  'job',
  {
    shard: smallint('shard').notNull(),
    id: uuid('id').notNull(),
    namespace: text('namespace').notNull(),
    queueId: integer('queue_id').notNull(),
    type: text('type').notNull(),
    /** −priority, so that one ascending index serves; eight bytes, for −(−2³¹). */
    rank: int8('rank').notNull(),
    /** Null where the job began SCHEDULED: its position is drawn when it becomes READY. */
    ord: int8('ord'),
    runAt: instant('run_at'),
    createdAt: instant('created_at').notNull(),
    digest: bytea('digest').notNull(),
    contentType: text('content_type').notNull(),
    headers: jsonb('headers').notNull(),
    labels: jsonb('labels').notNull(),
    idempotencyKey: text('idempotency_key'),
    fairnessKey: text('fairness_key'),
    maxAttempts: integer('max_attempts'),
    initialBackoffMs: int8('initial_backoff_ms'),
    multiplier: doublePrecision('multiplier'),
    maxBackoffMs: int8('max_backoff_ms'),
    jitter: boolean('jitter'),
    nonRetryableCodes: text('non_retryable_codes').array(),
    /** 1 rerunnable, 2 owner-bound, 3 externally owned. */
    disposition: smallint('disposition').notNull().default(1),
    /** schedule_to_close; the other timeouts are carried by the tokens. */
    closeMs: int8('close_ms'),
    startMs: int8('start_ms'),
    runMs: int8('run_ms'),
    concurrencyKey: text('concurrency_key'),
    payload: bytea('payload').notNull(),
  },
  (t) => [primaryKey({ columns: [t.shard, t.id] })],
);

/** What a token carries wherever it lies. */
const token = () => ({
  attempt: integer('attempt').notNull(),
  fence: int8('fence').notNull(),
  life: integer('life').notNull(),
  /** Last sequence given to an event of the job. */
  seq: int8('seq').notNull(),
  releases: integer('releases').notNull(),
  /** Bytes of the job on the wire, for the bound on a claim's response. */
  size: integer('size').notNull(),
  checkpointed: boolean('checkpointed').notNull(),
  /** schedule_to_start and start_to_close of the job, in milliseconds. */
  startMs: int8('start_ms'),
  runMs: int8('run_ms'),
  /** When the life must have ended (schedule_to_close). */
  lifeUntil: instant('life_until'),
  /** The concurrency key. */
  lockKey: text('lock_key'),
  /** The job's fairness key. */
  fairKey: text('fair_key'),
});

export const ready = stint.table(
  'ready',
  {
    shard: smallint('shard').notNull(),
    queueId: integer('queue_id').notNull(),
    rank: int8('rank').notNull(),
    ord: int8('ord').notNull(),
    job: uuid('job').notNull(),
    ...token(),
    /** When it times out: the earlier of schedule_to_start and `life_until`. */
    giveUpAt: instant('give_up_at'),
    /**
     * False: its position was drawn from `job_ord` by the transaction that inserted it, after that had its transaction id. All else may come
     * to lie below a floor, where only the partial index leads to it.
     */
    outOfOrder: boolean('out_of_order').notNull().default(true),
    /** Of its job, where its queue is claimed by type. */
    type: text('type'),
  },
  (t) => [
    primaryKey({ columns: [t.shard, t.queueId, t.rank, t.ord, t.job] }),
    index('ready_key')
      .on(t.shard, t.queueId, t.lockKey, t.rank, t.ord)
      .where(sql`lock_key is not null`),
    index('ready_out_of_order')
      .on(t.shard, t.queueId, t.rank, t.ord)
      .where(sql`out_of_order`),
    index('ready_type')
      // Not by the queue itself: no plan shall read the whole queue by the primary key and pass over the other types.
      .on(t.shard, sql`(queue_id::text || ' ' || type)`, t.rank, t.ord, t.job)
      .where(sql`type is not null`),
    index('ready_give_up')
      .on(t.shard, t.giveUpAt)
      .where(sql`give_up_at is not null`),
  ],
);

/**
 * Where claims begin to read a rank of a queue, while a held snapshot keeps the dead entries below it from being cleaned: no row that is
 * in order lies below `ord`, and none ever will. There is no row where nothing is held.
 */
export const floor = stint.table(
  'floor',
  {
    shard: smallint('shard').notNull(),
    queueId: integer('queue_id').notNull(),
    rank: int8('rank').notNull(),
    ord: int8('ord').notNull(),
    /** How far it may move once every transaction before `mark_xid` has ended. */
    mark: int8('mark').notNull(),
    markXid: xid8('mark_xid').notNull(),
  },
  (t) => [primaryKey({ columns: [t.shard, t.queueId, t.rank] })],
);

export const lease = stint.table(
  'lease',
  {
    shard: smallint('shard').notNull(),
    job: uuid('job').notNull(),
    token: uuid('token').notNull(),
    namespace: text('namespace').notNull(),
    worker: text('worker').notNull(),
    request: text('request'),
    until: instant('until').notNull(),
    durationMs: integer('duration_ms').notNull(),
    graceMs: integer('grace_ms').notNull(),
    queueId: integer('queue_id').notNull(),
    rank: int8('rank').notNull(),
    ord: int8('ord').notNull(),
    claimedAt: instant('claimed_at').notNull(),
    claimedSeq: int8('claimed_seq').notNull(),
    startedAt: instant('started_at'),
    startedSeq: int8('started_seq'),
    ...token(),
    /** When the try times out (start_to_close). */
    runUntil: instant('run_until'),
    /** Set by a cancel request: when the cancellation is forced. */
    cancelDeadline: instant('cancel_deadline'),
    /** True where its queue bounds each worker: these are counted by worker. */
    capped: boolean('capped'),
    /** The session that keeps it: while that lives, so does the lease. */
    session: uuid('session'),
  },
  (t) => [
    primaryKey({ columns: [t.shard, t.job] }),
    index('lease_worker')
      .on(t.shard, t.queueId, t.worker)
      .where(sql`capped`),
    uniqueIndex('lease_request')
      .on(t.shard, t.namespace, t.worker, t.request, t.job)
      .where(sql`request is not null`),
  ],
);

/** What keeps the leases that a worker lists on its stream, all of them by one row. It is never renewed once it has lapsed. */
export const session = stint.table(
  'session',
  {
    shard: smallint('shard').notNull(),
    id: uuid('id').notNull(),
    until: instant('until').notNull(),
    /** How long a beat keeps it, and the leases of the same duration. */
    durationMs: integer('duration_ms').notNull(),
  },
  (t) => [primaryKey({ columns: [t.shard, t.id] })],
);

/** SCHEDULED (kind 1; of externally owned jobs 3) and RETRY_WAIT (kind 2): ready at `due_at`. */
export const deferred = stint.table(
  'deferred',
  {
    shard: smallint('shard').notNull(),
    job: uuid('job').notNull(),
    dueAt: instant('due_at').notNull(),
    kind: smallint('kind').notNull(),
    queueId: integer('queue_id').notNull(),
    rank: int8('rank').notNull(),
    ...token(),
    /** Whether it keeps a slot of its key. */
    holds: boolean('holds').notNull().default(false),
  },
  (t) => [
    primaryKey({ columns: [t.shard, t.job] }),
    index('deferred_due').on(t.shard, t.dueAt, t.job),
    index('deferred_give_up')
      .on(t.shard, t.lifeUntil)
      .where(sql`life_until is not null`),
  ],
);

/**
 * What nothing moves by itself: SUSPENDED jobs (kind 1), READY ones that are externally owned (kind 2), which nobody claims, and BLOCKED
 * ones (kind 3), which wait for a slot of their key.
 */
export const parked = stint.table(
  'parked',
  {
    shard: smallint('shard').notNull(),
    job: uuid('job').notNull(),
    kind: smallint('kind').notNull(),
    queueId: integer('queue_id').notNull(),
    rank: int8('rank').notNull(),
    ...token(),
    /** Whether it keeps a slot of its key. */
    holds: boolean('holds').notNull().default(false),
    /** The position of a BLOCKED job, which it has in the backlog too. */
    ord: int8('ord'),
  },
  (t) => [
    primaryKey({ columns: [t.shard, t.job] }),
    index('parked_key')
      .on(t.shard, t.queueId, t.lockKey, t.holds.desc().nullsFirst(), t.rank, t.ord, t.job)
      .where(sql`kind = 3`),
    index('parked_give_up')
      .on(t.shard, t.lifeUntil)
      .where(sql`life_until is not null`),
  ],
);

/** One ended try. Insert only; partitioned as `job`. */
export const attempt = stint.table(
  'attempt',
  {
    shard: smallint('shard').notNull(),
    job: uuid('job').notNull(),
    fence: int8('fence').notNull(),
    /** The try's number in its life; a refunded one gives its number to the next. */
    attempt: integer('attempt').notNull(),
    refunded: boolean('refunded').notNull(),
    life: integer('life').notNull(),
    token: uuid('token').notNull(),
    /** How its holder ended it: `ack`, `fail`, `release` or `suspend`; null where nobody did. */
    settlement: text('settlement'),
    worker: text('worker').notNull(),
    claimedSeq: int8('claimed_seq').notNull(),
    claimedAt: instant('claimed_at').notNull(),
    startedSeq: int8('started_seq'),
    startedAt: instant('started_at'),
    endedSeq: int8('ended_seq').notNull(),
    endedAt: instant('ended_at').notNull(),
    /** Event code of its end. */
    endedType: smallint('ended_type').notNull(),
    failure: jsonb('failure'),
    /** When the job is due again, where it waits. */
    dueAt: instant('due_at'),
    deadLettered: boolean('dead_lettered').notNull(),
    /** What was said at a suspension, a cancellation or an abandonment. */
    reason: text('reason'),
  },
  (t) => [primaryKey({ columns: [t.shard, t.job, t.fence] })],
);

/** The end of a life. Insert only; partitioned as `job`. */
export const terminal = stint.table(
  'terminal',
  {
    shard: smallint('shard').notNull(),
    job: uuid('job').notNull(),
    life: integer('life').notNull(),
    seq: int8('seq').notNull(),
    /** Event code of the end: succeeded, failed, cancelled, abandoned. */
    type: smallint('type').notNull(),
    attempt: integer('attempt').notNull(),
    fence: int8('fence').notNull(),
    finishedAt: instant('finished_at').notNull(),
    result: bytea('result'),
    resultContentType: text('result_content_type'),
    failure: jsonb('failure'),
    /** What the event tells, where no try ended with the life. */
    detail: text('detail'),
  },
  (t) => [primaryKey({ columns: [t.shard, t.job, t.life] }), index('terminal_finished').on(t.shard, t.finishedAt)],
);

/** How far a walk along `terminal_finished` has come: what ended up to there was looked at. One walk a retention in use, one a `Prune` that goes on. */
export const pruneMark = stint.table(
  'prune_mark',
  {
    shard: smallint('shard').notNull(),
    walk: text('walk').notNull(),
    finishedAt: instant('finished_at').notNull(),
    job: uuid('job').notNull(),
    at: instant('at').notNull(),
  },
  (t) => [primaryKey({ columns: [t.shard, t.walk] })],
);

/** Events that no other row tells. Insert only; partitioned as `job`. */
export const jobEvent = stint.table(
  'job_event',
  {
    shard: smallint('shard').notNull(),
    job: uuid('job').notNull(),
    seq: int8('seq').notNull(),
    type: smallint('type').notNull(),
    at: instant('at').notNull(),
    life: integer('life').notNull(),
    attempt: integer('attempt').notNull(),
    fence: int8('fence').notNull(),
    /** Position the job took with this event, if it took one. */
    rank: int8('rank'),
    ord: int8('ord'),
    worker: text('worker'),
    /** What it tells besides its envelope, as in the journal. */
    detail: text('detail'),
  },
  (t) => [primaryKey({ columns: [t.shard, t.job, t.seq] })],
);

/** Facts that others than the service tell. Insert only; partitioned as `job`. Apart from `job_event`, of which every read of a job reads all. */
export const customEvent = stint.table(
  'custom_event',
  {
    shard: smallint('shard').notNull(),
    job: uuid('job').notNull(),
    seq: int8('seq').notNull(),
    type: text('type').notNull(),
    at: instant('at').notNull(),
    life: integer('life').notNull(),
    attempt: integer('attempt').notNull(),
    fence: int8('fence').notNull(),
    /** What the job was, and stayed. */
    state: text('state').notNull(),
    /** Who held it; empty: nobody. */
    worker: text('worker').notNull(),
    data: bytea('data').notNull(),
    contentType: text('content_type').notNull(),
    /** One key, one event of the job. */
    replayKey: text('replay_key'),
  },
  (t) => [
    primaryKey({ columns: [t.shard, t.job, t.seq] }),
    uniqueIndex('custom_event_replay')
      .on(t.shard, t.job, t.replayKey)
      .where(sql`replay_key is not null`),
  ],
);

/** What a worker left for its successor. Partitioned as `job`. */
export const checkpoint = stint.table(
  'checkpoint',
  {
    shard: smallint('shard').notNull(),
    job: uuid('job').notNull(),
    fence: int8('fence').notNull(),
    data: bytea('data').notNull(),
  },
  (t) => [primaryKey({ columns: [t.shard, t.job, t.fence] })],
);

/** One for each life that ends FAILED where the queue's dead letters are enabled. In the order of `n`, also over the queues of a namespace. */
export const deadLetter = stint.table(
  'dead_letter',
  {
    shard: smallint('shard').notNull(),
    /** Of the queue: a listing of all its queues goes by `n` alone. */
    namespace: text('namespace').notNull(),
    queueId: integer('queue_id').notNull(),
    n: int8('n')
      .notNull()
      .default(sql`nextval('stint.dead_letter_n')`),
    job: uuid('job').notNull(),
    life: integer('life').notNull(),
    at: instant('at').notNull(),
    /** Bytes of the payload that it keeps. */
    payloadBytes: integer('payload_bytes').notNull().default(65_536),
    /** Set once: a record is replayed once. */
    replayedAt: instant('replayed_at'),
  },
  (t) => [
    primaryKey({ columns: [t.shard, t.queueId, t.n] }),
    unique('dead_letter_job').on(t.shard, t.job, t.life),
    index('dead_letter_namespace').on(t.shard, t.namespace, t.n),
  ],
);

/** Who holds an idempotency key. Written first in an enqueue: the winner of the key is the winner of the job. */
export const idem = stint.table(
  'idem',
  {
    shard: smallint('shard').notNull(),
    queueId: integer('queue_id').notNull(),
    key: text('key').notNull(),
    job: uuid('job').notNull(),
    untilTerminal: boolean('until_terminal').notNull(),
    expiresAt: instant('expires_at'),
    /** The life of the job that holds it: its end frees a key that is held until terminal. */
    life: integer('life').notNull().default(1),
    /** Set when its job is pruned and the key's ttl is not over: what its job was, as JSON, and the digest of its content. */
    pruned: text('pruned'),
    digest: bytea('digest'),
  },
  (t) => [
    primaryKey({ columns: [t.shard, t.queueId, t.key] }),
    index('idem_pruned')
      .on(t.shard, t.expiresAt)
      .where(sql`pruned is not null`),
  ],
);

/** What a `request_id` was answered, and to what. */
export const request = stint.table(
  'request',
  {
    shard: smallint('shard').notNull(),
    namespace: text('namespace').notNull(),
    rpc: text('rpc').notNull(),
    requestId: text('request_id').notNull(),
    digest: bytea('digest').notNull(),
    at: instant('at').notNull(),
    answer: text('answer').notNull(),
  },
  (t) => [primaryKey({ columns: [t.shard, t.namespace, t.rpc, t.requestId] }), index('request_at').on(t.shard, t.at)],
);

/** What a statement did: one row a statement, in parallel arrays. Null arrays mean zeros or nothing. Partitioned by `at`. */
export const journal = stint.table(
  'journal',
  {
    shard: smallint('shard').notNull(),
    epoch: integer('epoch').notNull(),
    n: int8('n')
      .notNull()
      .default(sql`nextval('stint.journal_n')`),
    xid: xid8('xid')
      .notNull()
      .default(sql`pg_current_xact_id()`),
    at: instant('at').notNull(),
    types: smallint('types').array().notNull(),
    jobs: uuid('jobs').array().notNull(),
    seqs: int8('seqs').array(),
    queueIds: integer('queue_ids').array().notNull(),
    lives: integer('lives').array(),
    attempts: integer('attempts').array(),
    fences: int8('fences').array(),
    workers: text('workers').array(),
    /** JSON of what each event tells besides its envelope. */
    details: text('details').array(),
    /** How the statement moved tokens, a row of numbers for each queue: see `moves.ts`. Null: it moved none. */
    moves: integer('moves').array(),
  },
  (t) => [primaryKey({ columns: [t.shard, t.epoch, t.n, t.at] }), index('journal_xid').on(t.shard, t.epoch, t.xid)],
);

/** What has left the journal: its last row in each epoch that it was dropped from. Who has not seen it has missed something. */
export const journalFloor = stint.table(
  'journal_floor',
  {
    shard: smallint('shard').notNull(),
    epoch: integer('epoch').notNull(),
    /** The highest position, and the highest transaction id. */
    n: int8('n').notNull(),
    xid: xid8('xid').notNull(),
    /** Transactions that wrote the last rows, a thousand; where there are fewer, those that wrote any. */
    lastXids: xid8('last_xids').array().notNull(),
  },
  (t) => [primaryKey({ columns: [t.shard, t.epoch] })],
);

/** What the journal comes to for each queue, as far as it is folded: the tokens in each state, and how many there ever were of what a rate is told of. */
export const queueTally = stint.table(
  'queue_tally',
  {
    shard: smallint('shard').notNull(),
    queueId: integer('queue_id').notNull(),
    scheduled: int8('scheduled').notNull(),
    blocked: int8('blocked').notNull(),
    ready: int8('ready').notNull(),
    leased: int8('leased').notNull(),
    running: int8('running').notNull(),
    retryWait: int8('retry_wait').notNull(),
    suspended: int8('suspended').notNull(),
    enqueued: int8('enqueued').notNull(),
    claimed: int8('claimed').notNull(),
    finished: int8('finished').notNull(),
    failed: int8('failed').notNull(),
    /** That are not replayed. */
    deadLetters: int8('dead_letters').notNull(),
    /** Of the latest statement that is folded. */
    at: instant('at').notNull(),
    /** The totals of the last minute, oldest first, five numbers each: microseconds since 1970, enqueued, claimed, finished, failed. */
    samples: int8('samples').array().notNull(),
  },
  (t) => [primaryKey({ columns: [t.shard, t.queueId] })],
);

/** How far the journal is folded into the tallies: what this snapshot of this epoch shows, and all of former epochs. */
export const tallyMark = stint.table(
  'tally_mark',
  {
    shard: smallint('shard').notNull(),
    epoch: integer('epoch').notNull(),
    snapshot: pgSnapshot('snapshot').notNull(),
  },
  (t) => [primaryKey({ columns: [t.shard] })],
);
