CREATE TABLE "stint"."audit" (
	"shard" smallint NOT NULL,
	"namespace" text NOT NULL,
	"n" bigint GENERATED ALWAYS AS IDENTITY (sequence name "stint"."audit_n_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"at" timestamp with time zone NOT NULL,
	"queue" text NOT NULL,
	"action" text NOT NULL,
	"actor" text NOT NULL,
	"reason" text NOT NULL,
	"before" text NOT NULL,
	"after" text NOT NULL,
	CONSTRAINT "audit_shard_namespace_n_pk" PRIMARY KEY("shard","namespace","n")
);
--> statement-breakpoint
CREATE TABLE "stint"."door_pending" (
	"shard" smallint NOT NULL,
	"xid" "xid8" NOT NULL,
	"queue_id" integer NOT NULL,
	"scheduled" bigint NOT NULL,
	"ready" bigint NOT NULL,
	CONSTRAINT "door_pending_shard_xid_queue_id_pk" PRIMARY KEY("shard","xid","queue_id")
);
--> statement-breakpoint
CREATE TABLE "stint"."gate" (
	"shard" smallint NOT NULL,
	"queue_id" integer NOT NULL,
	"max_in_flight" integer,
	"max_queued" integer,
	"rate_permits" integer,
	"rate_period_ms" bigint,
	"rate_burst" integer,
	"scheduled" bigint NOT NULL,
	"ready" bigint NOT NULL,
	"leased" bigint NOT NULL,
	"running" bigint NOT NULL,
	"retry_wait" bigint NOT NULL,
	"suspended" bigint NOT NULL,
	"permits" double precision NOT NULL,
	"filled_at" timestamp with time zone NOT NULL,
	"claims" bigint NOT NULL,
	"counted_at" timestamp with time zone NOT NULL,
	CONSTRAINT "gate_shard_queue_id_pk" PRIMARY KEY("shard","queue_id")
);
--> statement-breakpoint
CREATE TABLE "stint"."paused_namespace" (
	"shard" smallint NOT NULL,
	"namespace" text NOT NULL,
	"reason" text NOT NULL,
	"at" timestamp with time zone NOT NULL,
	CONSTRAINT "paused_namespace_shard_namespace_pk" PRIMARY KEY("shard","namespace")
);
--> statement-breakpoint
ALTER TABLE "stint"."queue" ADD COLUMN "mode" smallint DEFAULT 3 NOT NULL;--> statement-breakpoint
ALTER TABLE "stint"."queue" ADD COLUMN "status" smallint DEFAULT 1 NOT NULL;--> statement-breakpoint
ALTER TABLE "stint"."queue" ADD COLUMN "status_reason" text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "stint"."queue" ADD COLUMN "updated_at" timestamp with time zone DEFAULT now() NOT NULL;
--> statement-breakpoint
-- Custom: a gate's row is updated by every commit of its queue; with room on the page that stays a HOT update.
ALTER TABLE "stint"."gate" SET (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
--> statement-breakpoint
-- The SQL door keeps the bounds too. As in 0004 but for those lines.
CREATE OR REPLACE FUNCTION "stint"."door_place"(of_job stint.job, of_epoch integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  size integer := octet_length(of_job.payload) + 3 * (stint.door_map_size(of_job.headers) + stint.door_map_size(of_job.labels)) + 512;
  life_until timestamptz := of_job.created_at + of_job.close_ms * interval '1 millisecond';
  detail text := json_strip_nulls(json_build_object('t', nullif(of_job.type, ''), 'p', nullif(-of_job.rank, 0),
    'r', CASE WHEN of_job.ord IS NULL THEN (extract(epoch FROM of_job.run_at) * 1000000)::bigint END))::text;
  bound record;
  gate record;
BEGIN
  INSERT INTO stint.journal (shard, epoch, at, types, jobs, queue_ids, details)
  VALUES (of_job.shard, of_epoch, of_job.created_at, ARRAY[1::smallint], ARRAY[of_job.id], ARRAY[of_job.queue_id],
    CASE WHEN detail <> '{}' THEN ARRAY[detail] END);
  -- Asked once the journal is written to: whoever closes a queue has waited for those who did so before, and the others see it.
  SELECT q.name, q.status IN (3, 4) AS draining INTO bound FROM stint.queue q WHERE q.shard = 0 AND q.id = of_job.queue_id;
  IF bound.draining THEN
    RAISE EXCEPTION 'stint.enqueue: queue % is draining: it takes no new jobs', bound.name USING ERRCODE = '55000';
  END IF;
  -- Looked at now, for an early word, and judged at the commit: nobody waits for a gate while the caller thinks.
  SELECT g.max_queued, g.scheduled + g.ready + g.retry_wait + g.suspended + coalesce(sum(p.scheduled + p.ready), 0) AS depth INTO gate
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
    INSERT INTO stint.ready (shard, queue_id, rank, ord, job, attempt, fence, life, seq, releases, size, checkpointed, start_ms, run_ms, life_until, give_up_at)
    VALUES (of_job.shard, of_job.queue_id, of_job.rank, of_job.ord, of_job.id, 0, 0, 1, 1, 0, size, false, of_job.start_ms, of_job.run_ms, life_until,
      least(life_until, of_job.created_at + of_job.start_ms * interval '1 millisecond'));
  END IF;
  PERFORM pg_notify('stint_bell', 'sql');
END $$;
--> statement-breakpoint
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
    SELECT d.job, d.free, p.digest, p.namespace INTO standing
      FROM (
        SELECT o.id AS job, false AS free, 0 AS preference FROM stint.job o WHERE o.shard = 0 AND o.id = j.id
        UNION ALL
        SELECT m.job, stint.door_key_is_free(m, j.created_at), 1 FROM stint.idem m
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
-- What a transaction brought into queues that have a gate, all of it at its end, in the order of their numbers.
CREATE FUNCTION "stint"."door_settle"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
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
    RETURNING g.max_queued, g.scheduled + g.ready + g.retry_wait + g.suspended - p.scheduled - p.ready AS depth INTO gate;
    IF gate.depth + p.scheduled + p.ready > gate.max_queued THEN
      RAISE EXCEPTION 'stint.enqueue: queue % is full: % jobs wait, and % may', p.name, gate.depth, gate.max_queued USING ERRCODE = '53400';
    END IF;
  END LOOP;
  DELETE FROM stint.door_pending d WHERE d.shard = 0 AND d.xid = pg_current_xact_id();
  RETURN NULL;
END $$;
--> statement-breakpoint
REVOKE EXECUTE ON FUNCTION "stint"."door_settle" FROM PUBLIC;
--> statement-breakpoint
CREATE CONSTRAINT TRIGGER "door_settle" AFTER INSERT ON "stint"."door_pending" DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION "stint"."door_settle"();
