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
const instant = (name: string) => timestamp(name, { withTimezone: true, mode: 'string' });
const int8 = (name: string) => bigint(name, { mode: 'bigint' });

/** Positions in the backlog: drawn when a job becomes READY, so FIFO is by position. CACHE 1, or sessions would interleave. */
export const jobOrd = stint.sequence('job_ord');
/** Order of the journal: drawn in the insert that reads the rows its statement locked. */
export const journalN = stint.sequence('journal_n');
/** Emit order of dead letters. */
export const deadLetterN = stint.sequence('dead_letter_n');

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
    /** 1 pull only, 2 push only, 3 both. */
    mode: smallint('mode').notNull().default(3),
    /** 1 active, 2 paused, 3 draining its backlog, 4 draining what is in flight. */
    status: smallint('status').notNull().default(1),
    statusReason: text('status_reason').notNull().default(''),
    updatedAt: instant('updated_at').notNull().defaultNow(),
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
    maxQueued: integer('max_queued'),
    /** Claims in a period, and as many at once after a quiet time; null: as many as are asked for. */
    ratePermits: integer('rate_permits'),
    ratePeriodMs: int8('rate_period_ms'),
    rateBurst: integer('rate_burst'),
    scheduled: int8('scheduled').notNull(),
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
  },
  (t) => [
    primaryKey({ columns: [t.shard, t.queueId, t.rank, t.ord] }),
    index('ready_give_up')
      .on(t.shard, t.giveUpAt)
      .where(sql`give_up_at is not null`),
  ],
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
  },
  (t) => [
    primaryKey({ columns: [t.shard, t.job] }),
    uniqueIndex('lease_request')
      .on(t.shard, t.namespace, t.worker, t.request, t.job)
      .where(sql`request is not null`),
  ],
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
  },
  (t) => [
    primaryKey({ columns: [t.shard, t.job] }),
    index('deferred_due').on(t.shard, t.dueAt, t.job),
    index('deferred_give_up')
      .on(t.shard, t.lifeUntil)
      .where(sql`life_until is not null`),
  ],
);

/** What nothing moves by itself: SUSPENDED jobs (kind 1), and READY ones that are externally owned (kind 2), which nobody claims. */
export const parked = stint.table(
  'parked',
  {
    shard: smallint('shard').notNull(),
    job: uuid('job').notNull(),
    kind: smallint('kind').notNull(),
    queueId: integer('queue_id').notNull(),
    rank: int8('rank').notNull(),
    ...token(),
  },
  (t) => [
    primaryKey({ columns: [t.shard, t.job] }),
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
  (t) => [primaryKey({ columns: [t.shard, t.job, t.life] })],
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
  },
  (t) => [primaryKey({ columns: [t.shard, t.queueId, t.key] })],
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
  (t) => [primaryKey({ columns: [t.shard, t.namespace, t.rpc, t.requestId] })],
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
  },
  (t) => [primaryKey({ columns: [t.shard, t.epoch, t.n, t.at] }), index('journal_xid').on(t.shard, t.epoch, t.xid)],
);
