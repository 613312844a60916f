ALTER SEQUENCE "stint"."job_ord" INCREMENT BY 65536 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1;--> statement-breakpoint
CREATE TABLE "stint"."fair" (
	"shard" smallint NOT NULL,
	"queue_id" integer NOT NULL,
	"rank" bigint NOT NULL,
	"key" text NOT NULL,
	"last" bigint NOT NULL,
	"span" bigint NOT NULL,
	CONSTRAINT "fair_shard_queue_id_rank_key_pk" PRIMARY KEY("shard","queue_id","rank","key")
);
--> statement-breakpoint
CREATE TABLE "stint"."floor" (
	"shard" smallint NOT NULL,
	"queue_id" integer NOT NULL,
	"rank" bigint NOT NULL,
	"ord" bigint NOT NULL,
	"mark" bigint NOT NULL,
	"mark_xid" "xid8" NOT NULL,
	CONSTRAINT "floor_shard_queue_id_rank_pk" PRIMARY KEY("shard","queue_id","rank")
);
--> statement-breakpoint
CREATE TABLE "stint"."journal_floor" (
	"shard" smallint NOT NULL,
	"epoch" integer NOT NULL,
	"n" bigint NOT NULL,
	"xid" "xid8" NOT NULL,
	"last_xids" "xid8"[] NOT NULL,
	CONSTRAINT "journal_floor_shard_epoch_pk" PRIMARY KEY("shard","epoch")
);
--> statement-breakpoint
CREATE TABLE "stint"."prune_mark" (
	"shard" smallint NOT NULL,
	"walk" text NOT NULL,
	"finished_at" timestamp with time zone NOT NULL,
	"job" uuid NOT NULL,
	"at" timestamp with time zone NOT NULL,
	CONSTRAINT "prune_mark_shard_walk_pk" PRIMARY KEY("shard","walk")
);
--> statement-breakpoint
CREATE TABLE "stint"."queue_tally" (
	"shard" smallint NOT NULL,
	"queue_id" integer NOT NULL,
	"scheduled" bigint NOT NULL,
	"blocked" bigint NOT NULL,
	"ready" bigint NOT NULL,
	"leased" bigint NOT NULL,
	"running" bigint NOT NULL,
	"retry_wait" bigint NOT NULL,
	"suspended" bigint NOT NULL,
	"enqueued" bigint NOT NULL,
	"claimed" bigint NOT NULL,
	"finished" bigint NOT NULL,
	"failed" bigint NOT NULL,
	"dead_letters" bigint NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"samples" bigint[] NOT NULL,
	CONSTRAINT "queue_tally_shard_queue_id_pk" PRIMARY KEY("shard","queue_id")
);
--> statement-breakpoint
CREATE TABLE "stint"."slot" (
	"shard" smallint NOT NULL,
	"queue_id" integer NOT NULL,
	"key" text NOT NULL,
	"held" integer NOT NULL,
	"ready" integer NOT NULL,
	"permits" double precision NOT NULL,
	"filled_at" timestamp with time zone NOT NULL,
	"paused_until" timestamp with time zone,
	"wake_at" timestamp with time zone,
	CONSTRAINT "slot_shard_queue_id_key_pk" PRIMARY KEY("shard","queue_id","key")
);
--> statement-breakpoint
CREATE TABLE "stint"."tally_mark" (
	"shard" smallint NOT NULL,
	"epoch" integer NOT NULL,
	"snapshot" "pg_snapshot" NOT NULL,
	CONSTRAINT "tally_mark_shard_pk" PRIMARY KEY("shard")
);
--> statement-breakpoint
ALTER TABLE "stint"."ready" DROP CONSTRAINT "ready_shard_queue_id_rank_ord_pk";--> statement-breakpoint
ALTER TABLE "stint"."ready" ADD CONSTRAINT "ready_shard_queue_id_rank_ord_job_pk" PRIMARY KEY("shard","queue_id","rank","ord","job");--> statement-breakpoint
ALTER TABLE "stint"."deferred" ADD COLUMN "lock_key" text;--> statement-breakpoint
ALTER TABLE "stint"."deferred" ADD COLUMN "fair_key" text;--> statement-breakpoint
ALTER TABLE "stint"."deferred" ADD COLUMN "holds" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "stint"."gate" ADD COLUMN "max_per_worker" integer;--> statement-breakpoint
ALTER TABLE "stint"."gate" ADD COLUMN "blocked" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "stint"."idem" ADD COLUMN "pruned" text;--> statement-breakpoint
ALTER TABLE "stint"."idem" ADD COLUMN "digest" "bytea";--> statement-breakpoint
ALTER TABLE "stint"."job" ADD COLUMN "fairness_key" text;--> statement-breakpoint
ALTER TABLE "stint"."job" ADD COLUMN "concurrency_key" text;--> statement-breakpoint
ALTER TABLE "stint"."journal" ADD COLUMN "moves" integer[];--> statement-breakpoint
ALTER TABLE "stint"."lease" ADD COLUMN "lock_key" text;--> statement-breakpoint
ALTER TABLE "stint"."lease" ADD COLUMN "fair_key" text;--> statement-breakpoint
ALTER TABLE "stint"."lease" ADD COLUMN "capped" boolean;--> statement-breakpoint
ALTER TABLE "stint"."parked" ADD COLUMN "lock_key" text;--> statement-breakpoint
ALTER TABLE "stint"."parked" ADD COLUMN "fair_key" text;--> statement-breakpoint
ALTER TABLE "stint"."parked" ADD COLUMN "holds" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "stint"."parked" ADD COLUMN "ord" bigint;--> statement-breakpoint
ALTER TABLE "stint"."queue" ADD COLUMN "concurrency_per_key" integer DEFAULT 1 NOT NULL;--> statement-breakpoint
ALTER TABLE "stint"."queue" ADD COLUMN "concurrency_hold" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "stint"."queue" ADD COLUMN "key_rate_permits" integer;--> statement-breakpoint
ALTER TABLE "stint"."queue" ADD COLUMN "key_rate_period_ms" bigint;--> statement-breakpoint
ALTER TABLE "stint"."queue" ADD COLUMN "key_rate_burst" integer;--> statement-breakpoint
ALTER TABLE "stint"."queue" ADD COLUMN "fairness_weights" jsonb DEFAULT '{}' NOT NULL;--> statement-breakpoint
ALTER TABLE "stint"."queue" ADD COLUMN "retention_ms" bigint DEFAULT 604800000 NOT NULL;--> statement-breakpoint
ALTER TABLE "stint"."queue" ADD COLUMN "sorted" smallint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "stint"."ready" ADD COLUMN "lock_key" text;--> statement-breakpoint
ALTER TABLE "stint"."ready" ADD COLUMN "fair_key" text;--> statement-breakpoint
ALTER TABLE "stint"."ready" ADD COLUMN "out_of_order" boolean DEFAULT true NOT NULL;--> statement-breakpoint
ALTER TABLE "stint"."ready" ADD COLUMN "type" text;--> statement-breakpoint
CREATE INDEX "slot_wake" ON "stint"."slot" USING btree ("shard","wake_at") WHERE wake_at is not null;--> statement-breakpoint
CREATE INDEX "idem_pruned" ON "stint"."idem" USING btree ("shard","expires_at") WHERE pruned is not null;--> statement-breakpoint
CREATE INDEX "lease_worker" ON "stint"."lease" USING btree ("shard","queue_id","worker") WHERE capped;--> statement-breakpoint
CREATE INDEX "parked_key" ON "stint"."parked" USING btree ("shard","queue_id","lock_key","holds" DESC NULLS FIRST,"rank","ord","job") WHERE kind = 3;--> statement-breakpoint
CREATE INDEX "ready_key" ON "stint"."ready" USING btree ("shard","queue_id","lock_key","rank","ord") WHERE lock_key is not null;--> statement-breakpoint
CREATE INDEX "ready_out_of_order" ON "stint"."ready" USING btree ("shard","queue_id","rank","ord") WHERE out_of_order;--> statement-breakpoint
CREATE INDEX "ready_type" ON "stint"."ready" USING btree ("shard",(queue_id::text || ' ' || type),"rank","ord","job") WHERE type is not null;--> statement-breakpoint
CREATE INDEX "request_at" ON "stint"."request" USING btree ("shard","at");--> statement-breakpoint
CREATE INDEX "terminal_finished" ON "stint"."terminal" USING btree ("shard","finished_at");
--> statement-breakpoint
-- Custom: a slot's row is updated by each commit that moves a job of its key, as a gate's is.
ALTER TABLE "stint"."slot" SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
--> statement-breakpoint
ALTER TABLE "stint"."parked" DROP CONSTRAINT "parked_kind", ADD CONSTRAINT "parked_kind" CHECK (kind IN (1, 2, 3));
--> statement-breakpoint
-- Custom: the row of a fairness key is updated by every statement that draws for it; with room on the page that stays a HOT update.
ALTER TABLE "stint"."fair" SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
--> statement-breakpoint
-- Custom: retention. A key whose job is pruned lives on where it says so.
CREATE OR REPLACE FUNCTION "stint"."door_key_is_free"(m stint.idem, at timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT coalesce(m.expires_at <= at, false)
      OR (m.until_terminal AND EXISTS (SELECT 1 FROM stint.terminal t WHERE t.shard = 0 AND t.job = m.job AND t.life >= m.life))
      OR (m.pruned IS NULL AND NOT EXISTS (SELECT 1 FROM stint.job p WHERE p.shard = 0 AND p.id = m.job))
$$;
--> statement-breakpoint
-- The days of a table's partitions that were over by then, the oldest first.
CREATE FUNCTION "stint"."days_before"(parent text, before timestamptz) RETURNS SETOF text LANGUAGE sql STABLE SET timezone = 'UTC' AS $$
  SELECT right(c.relname, 8) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
   WHERE i.inhparent = to_regclass('stint.' || parent) AND c.relname ~ ('^' || parent || '_[0-9]{8}$')
     AND to_timestamp(right(c.relname, 8), 'YYYYMMDD') + interval '1 day' <= before
   ORDER BY 1
$$;
--> statement-breakpoint
-- Drops one partition of a day that was over by then and has no jobs left; gives its name, or null where there is none. One at a time, the
-- table of the jobs last: each needs its parent for a moment to itself, and whoever waits for it lets everybody else wait.
CREATE FUNCTION "stint"."drop_empty_partition"(before timestamptz) RETURNS text LANGUAGE plpgsql SET lock_timeout = '50ms' AS $$
DECLARE
  day text;
  parent text;
  child text;
  has_jobs boolean;
BEGIN
  -- Whoever is at it already does it for all.
  IF NOT pg_try_advisory_xact_lock(hashtext('stint.drop_partitions')) THEN
    RETURN NULL;
  END IF;
  FOR day IN SELECT d FROM stint.days_before('job', before) d LOOP
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM stint.%I)', 'job_' || day) INTO has_jobs;
    CONTINUE WHEN has_jobs;
    FOREACH parent IN ARRAY ARRAY['attempt', 'terminal', 'job_event', 'checkpoint', 'job'] LOOP
      child := format('%s_%s', parent, day);
      CONTINUE WHEN to_regclass('stint.' || child) IS NULL;
      EXECUTE format('LOCK TABLE ONLY stint.%I IN ACCESS EXCLUSIVE MODE', parent);
      IF parent = 'job' THEN
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM stint.%I)', child) INTO has_jobs;
        CONTINUE WHEN has_jobs;
      END IF;
      EXECUTE format('DROP TABLE stint.%I', child);
      RETURN child;
    END LOOP;
  END LOOP;
  RETURN NULL;
END $$;
--> statement-breakpoint
-- Drops the oldest partition of the journal, if it was over by then, and leaves behind what the last of it was; gives its name, or null.
-- Rows of an open transaction cannot be in it: whoever writes there holds the lock that the drop waits for.
CREATE FUNCTION "stint"."drop_journal_partition"(of_shard smallint, before timestamptz) RETURNS text LANGUAGE plpgsql SET lock_timeout = '50ms' AS $$
DECLARE
  child text;
  last record;
  last_xids xid8[];
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtext('stint.drop_partitions')) THEN
    RETURN NULL;
  END IF;
  SELECT 'journal_' || d INTO child FROM stint.days_before('journal', before) d LIMIT 1;
  IF child IS NULL THEN
    RETURN NULL;
  END IF;
  LOCK TABLE ONLY stint.journal IN ACCESS EXCLUSIVE MODE;
  EXECUTE format('SELECT e.epoch, e.n, x.xid
      FROM (SELECT epoch, n FROM stint.%1$I WHERE shard = $1 ORDER BY epoch DESC, n DESC LIMIT 1) e
     CROSS JOIN LATERAL (SELECT xid FROM stint.%1$I WHERE shard = $1 AND epoch = e.epoch ORDER BY xid DESC LIMIT 1) x', child) INTO last USING of_shard;
  IF last.n IS NOT NULL THEN
    -- Not one of a transaction that was open beside them is taken for a writer of what left: the last ones are known by number.
    EXECUTE format('SELECT array_agg(xid ORDER BY xid) FROM (
        SELECT DISTINCT xid FROM stint.%I WHERE shard = $1 AND epoch = $2 ORDER BY xid DESC LIMIT 1000) x', child)
      INTO last_xids USING of_shard, last.epoch;
    INSERT INTO stint.journal_floor AS f (shard, epoch, n, xid, last_xids) VALUES (of_shard, last.epoch, last.n, last.xid, last_xids)
    ON CONFLICT (shard, epoch) DO UPDATE SET n = greatest(f.n, excluded.n), xid = greatest(f.xid, excluded.xid),
      last_xids = (SELECT array_agg(k.xid ORDER BY k.xid) FROM (
        SELECT DISTINCT u.xid FROM unnest(f.last_xids || excluded.last_xids) AS u(xid) ORDER BY u.xid DESC LIMIT 1000) k);
  END IF;
  EXECUTE format('DROP TABLE stint.%I', child);
  RETURN child;
END $$;
--> statement-breakpoint
-- Custom: lean tables.
ALTER TABLE "stint"."floor" SET (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
--> statement-breakpoint
-- Custom: statistics. As the other arrays of the journal: read by position, and not worth compressing.
ALTER TABLE "stint"."journal" ALTER "moves" SET STORAGE EXTERNAL;
--> statement-breakpoint
-- Some rows, updated several times a second: with room on the page that stays a HOT update.
ALTER TABLE "stint"."queue_tally" SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
--> statement-breakpoint
ALTER TABLE "stint"."tally_mark" SET (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
--> statement-breakpoint
-- Custom: what each worker holds of queues. VOLATILE: a function reads by a snapshot of its own, so whoever holds the gates of these queues
-- counts also what was claimed while they waited for them.
CREATE FUNCTION "stint"."held_by_workers"(of_shard smallint, queue_ids integer[], workers text[])
RETURNS TABLE (queue_id integer, held integer[]) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RETURN QUERY SELECT q.id, ARRAY(
      SELECT (SELECT count(*)::integer FROM stint.lease l WHERE l.shard = of_shard AND l.queue_id = q.id AND l.worker = w.worker AND l.capped)
        FROM unnest(workers) WITH ORDINALITY AS w(worker, n) ORDER BY w.n)
    FROM unnest(queue_ids) AS q(id);
END $$;
--> statement-breakpoint
-- Custom: plans are kept for as long as nothing tells that the tables changed. One that has grown beyond what the planner knows of it is analyzed,
-- so that what was planned for a few rows is planned anew before there are many.
CREATE FUNCTION "stint"."analyze_outgrown"() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  outgrown regclass;
  count integer := 0;
BEGIN
  FOR outgrown IN
    SELECT c.oid FROM pg_class c
     WHERE c.relnamespace = 'stint'::regnamespace AND c.relkind = 'r' AND pg_has_role(c.relowner, 'USAGE')
       AND pg_relation_size(c.oid) / current_setting('block_size')::bigint > 2 * greatest(c.relpages, 0) + 64
  LOOP
    EXECUTE format('ANALYZE (SKIP_LOCKED) %s', outgrown);
    count := count + 1;
  END LOOP;
  RETURN count;
END $$;
--> statement-breakpoint
-- The SQL door: BLOCKED jobs wait too, a row that it adds is in order, and the journal tells how it moved tokens, as `moves.ts` does;
-- and of a queue that is claimed by type its type.
CREATE OR REPLACE FUNCTION "stint"."door_place"(of_job stint.job, of_epoch integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  size integer := octet_length(of_job.payload) + 3 * (stint.door_map_size(of_job.headers) + stint.door_map_size(of_job.labels)) + 512;
  life_until timestamptz := of_job.created_at + of_job.close_ms * interval '1 millisecond';
  detail text := json_strip_nulls(json_build_object('t', nullif(of_job.type, ''), 'p', nullif(-of_job.rank, 0),
    'r', CASE WHEN of_job.ord IS NULL THEN (extract(epoch FROM of_job.run_at) * 1000000)::bigint END))::text;
  bound record;
  gate record;
BEGIN
  INSERT INTO stint.journal (shard, epoch, at, types, jobs, queue_ids, details, moves)
  VALUES (of_job.shard, of_epoch, of_job.created_at, ARRAY[1::smallint], ARRAY[of_job.id], ARRAY[of_job.queue_id],
    CASE WHEN detail <> '{}' THEN ARRAY[detail] END,
    ARRAY[ARRAY[of_job.queue_id, CASE WHEN of_job.ord IS NULL THEN 1 ELSE 0 END, 0, CASE WHEN of_job.ord IS NULL THEN 0 ELSE 1 END, 0, 0, 0, 0, 1, 0, 0, 0, 0]]);
  -- Asked once the journal is written to: whoever closes a queue has waited for those who did so before, and the others see it.
  SELECT q.name, q.status IN (3, 4) AS draining, q.sorted > 0 AS sorted INTO bound FROM stint.queue q WHERE q.shard = 0 AND q.id = of_job.queue_id;
  IF bound.draining THEN
    RAISE EXCEPTION 'stint.enqueue: queue % is draining: it takes no new jobs', bound.name USING ERRCODE = '55000';
  END IF;
  -- Looked at now, for an early word, and judged at the commit: nobody waits for a gate while the caller thinks.
  SELECT g.max_queued, g.scheduled + g.blocked + g.ready + g.retry_wait + g.suspended + coalesce(sum(p.scheduled + p.ready), 0) AS depth INTO gate
    FROM stint.gate g LEFT JOIN stint.door_pending p ON p.shard = 0 AND p.xid = pg_current_xact_id() AND p.queue_id = g.queue_id
   WHERE g.shard = 0 AND g.queue_id = of_job.queue_id GROUP BY g.shard, g.queue_id;
  IF gate.depth >= gate.max_queued THEN
    RAISE EXCEPTION 'stint.enqueue: queue % is full: % jobs wait, and % may', bound.name, gate.depth, gate.max_queued USING ERRCODE = '53400';
  ELSIF gate.depth IS NOT NULL THEN
    INSERT INTO stint.door_pending (shard, xid, queue_id, scheduled, ready)
    VALUES (0, pg_current_xact_id(), of_job.queue_id, CASE WHEN of_job.ord IS NULL THEN 1 ELSE 0 END, CASE WHEN of_job.ord IS NULL THEN 0 ELSE 1 END)
    ON CONFLICT (shard, xid, queue_id) DO UPDATE SET scheduled = door_pending.scheduled + excluded.scheduled, ready = door_pending.ready + excluded.ready;
  END IF;
  IF of_job.ord IS NULL THEN
    INSERT INTO stint.deferred (shard, job, due_at, kind, queue_id, rank, attempt, fence, life, seq, releases, size, checkpointed, start_ms, run_ms, life_until)
    VALUES (of_job.shard, of_job.id, of_job.run_at, CASE WHEN of_job.disposition = 3 THEN 3 ELSE 1 END, of_job.queue_id, of_job.rank,
      0, 0, 1, 1, 0, size, false, of_job.start_ms, of_job.run_ms, life_until);
  ELSIF of_job.disposition = 3 THEN
    INSERT INTO stint.parked (shard, job, kind, queue_id, rank, attempt, fence, life, seq, releases, size, checkpointed, start_ms, run_ms, life_until)
    VALUES (of_job.shard, of_job.id, 2, of_job.queue_id, of_job.rank, 0, 0, 1, 1, 0, size, false, of_job.start_ms, of_job.run_ms, life_until);
  ELSE
    INSERT INTO stint.ready (shard, queue_id, rank, ord, job, attempt, fence, life, seq, releases, size, checkpointed, start_ms, run_ms, life_until, give_up_at, out_of_order, type)
    VALUES (of_job.shard, of_job.queue_id, of_job.rank, of_job.ord, of_job.id, 0, 0, 1, 1, 0, size, false, of_job.start_ms, of_job.run_ms, life_until,
      least(life_until, of_job.created_at + of_job.start_ms * interval '1 millisecond'), false, CASE WHEN bound.sorted THEN of_job.type END);
  END IF;
  PERFORM pg_notify('stint_bell', 'sql');
END $$;
--> statement-breakpoint
-- The transaction has its id before it draws a position, and of a pruned job its key keeps the digest.
CREATE OR REPLACE FUNCTION "stint"."door_enqueue"(j stint.job, of_epoch integer, until_terminal boolean, ttl_ms numeric, reject boolean,
  OUT job_id uuid, OUT deduplicated boolean) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  won boolean;
  standing record;
BEGIN
  -- A snapshot from before a change of the queue shows neither its status nor its gate: here that is a 40001, and no change comes meanwhile.
  IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
    PERFORM 1 FROM stint.queue q WHERE q.shard = 0 AND q.id = j.queue_id FOR SHARE;
  END IF;
  FOR round IN 1..8 LOOP
    j.created_at := clock_timestamp();
    won := j.idempotency_key IS NULL;
    IF NOT won THEN
      INSERT INTO stint.idem (shard, queue_id, key, job, until_terminal, expires_at)
      VALUES (0, j.queue_id, j.idempotency_key, j.id, door_enqueue.until_terminal, j.created_at + ttl_ms::double precision * interval '1 millisecond')
      ON CONFLICT (shard, queue_id, key) DO NOTHING;
      won := FOUND;
    END IF;
    IF won THEN
      -- Before the position: who knows that all transactions before some id have ended knows that none brings a position any more.
      PERFORM pg_current_xact_id();
      j.ord := CASE WHEN j.run_at > j.created_at THEN NULL ELSE nextval('stint.job_ord') END;
      INSERT INTO stint.job (shard, id, namespace, queue_id, type, rank, ord, run_at, created_at, digest, content_type, headers, labels, idempotency_key,
        max_attempts, initial_backoff_ms, multiplier, max_backoff_ms, jitter, non_retryable_codes, payload, disposition, start_ms, run_ms, close_ms)
      VALUES (0, j.id, j.namespace, j.queue_id, j.type, j.rank, j.ord, j.run_at, j.created_at, j.digest, j.content_type, j.headers, j.labels, j.idempotency_key,
        j.max_attempts, j.initial_backoff_ms, j.multiplier, j.max_backoff_ms, j.jitter, j.non_retryable_codes, j.payload, j.disposition, j.start_ms, j.run_ms,
        j.close_ms)
      ON CONFLICT (shard, id) DO NOTHING;
      IF FOUND THEN
        PERFORM stint.door_place(j, of_epoch);
        job_id := j.id;
        deduplicated := false;
        RETURN;
      END IF;
      -- A key won for a record whose id is taken would point at a stranger.
      DELETE FROM stint.idem m WHERE m.shard = 0 AND m.queue_id = j.queue_id AND m.key = j.idempotency_key AND m.job = j.id;
    END IF;
    SELECT d.job, d.free, coalesce(p.digest, d.digest) AS digest, coalesce(p.namespace, j.namespace) AS namespace INTO standing
      FROM (
        SELECT o.id AS job, false AS free, 0 AS preference, null::bytea AS digest FROM stint.job o WHERE o.shard = 0 AND o.id = j.id
        UNION ALL
        SELECT m.job, stint.door_key_is_free(m, j.created_at), 1, m.digest FROM stint.idem m
         WHERE m.shard = 0 AND m.queue_id = j.queue_id AND m.key = j.idempotency_key
        ORDER BY preference LIMIT 1) d
      LEFT JOIN LATERAL (SELECT o.digest, o.namespace FROM stint.job o WHERE o.shard = 0 AND o.id = d.job OFFSET 0) p ON true;
    IF standing.free THEN
      -- Asked again under the row's lock, for the holder may have changed.
      PERFORM 1 FROM stint.idem m WHERE m.shard = 0 AND m.queue_id = j.queue_id AND m.key = j.idempotency_key FOR UPDATE;
      DELETE FROM stint.idem m
       WHERE m.shard = 0 AND m.queue_id = j.queue_id AND m.key = j.idempotency_key AND m.job = standing.job AND stint.door_key_is_free(m, j.created_at);
    ELSIF standing.digest IS NOT NULL THEN
      EXIT;
    END IF;
  END LOOP;
  IF standing.digest IS NULL OR standing.free THEN
    RAISE EXCEPTION 'stint.enqueue: an idempotency key changed hands too often: try again' USING ERRCODE = '40001';
  ELSIF standing.namespace <> j.namespace THEN
    RAISE EXCEPTION 'stint.enqueue: job_id is taken' USING ERRCODE = '23505';
  ELSIF standing.digest <> j.digest OR reject THEN
    RAISE EXCEPTION 'stint.enqueue: a job is there already%', CASE WHEN standing.digest <> j.digest THEN ', with other content' ELSE '' END
      USING ERRCODE = '23505', DETAIL = 'job_id ' || standing.job;
  END IF;
  job_id := standing.job;
  deduplicated := true;
END $$;
--> statement-breakpoint
CREATE OR REPLACE FUNCTION "stint"."door_settle"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
  p record;
  gate record;
BEGIN
  FOR p IN
    SELECT d.*, q.name FROM stint.door_pending d JOIN stint.queue q ON q.shard = 0 AND q.id = d.queue_id
     WHERE d.shard = 0 AND d.xid = pg_current_xact_id() ORDER BY d.queue_id
  LOOP
    UPDATE stint.gate g SET scheduled = g.scheduled + p.scheduled, ready = g.ready + p.ready WHERE g.shard = 0 AND g.queue_id = p.queue_id
    RETURNING g.max_queued, g.scheduled + g.blocked + g.ready + g.retry_wait + g.suspended - p.scheduled - p.ready AS depth INTO gate;
    IF gate.depth + p.scheduled + p.ready > gate.max_queued THEN
      RAISE EXCEPTION 'stint.enqueue: queue % is full: % jobs wait, and % may', p.name, gate.depth, gate.max_queued USING ERRCODE = '53400';
    END IF;
  END LOOP;
  DELETE FROM stint.door_pending d WHERE d.shard = 0 AND d.xid = pg_current_xact_id();
  RETURN NULL;
END $$;
