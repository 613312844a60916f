-- Custom: what drizzle-kit does not know, functions. docs/sql-door.md tells those who call them; only `enqueue` and `enqueue_version` are public.
-- The content of a job, as engine/jobs/content-digest.ts has it: a key taken on one way is judged on the other.
CREATE FUNCTION "stint"."content_digest"(queue text, type text, content_type text, payload bytea, disposition text) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT sha256(convert_to(octet_length(queue) || ':' || queue || octet_length(type) || ':' || type || octet_length(content_type) || ':' || content_type
    || octet_length(payload) || ':', 'UTF8') || payload || convert_to(CASE WHEN disposition = 'RERUNNABLE' THEN '' ELSE disposition END, 'UTF8'))
$$;
--> statement-breakpoint
-- What is wrong with an argument, in the words of grpc/fields.ts, or null: a name, a span of time (in milliseconds, rounded up), a map of texts.
CREATE FUNCTION "stint"."door_name"(argument text, value text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN value COLLATE "C" !~ '^[A-Za-z0-9._-]{1,128}$' THEN argument || ' must match [A-Za-z0-9._-]{1,128}' END
$$;
--> statement-breakpoint
CREATE FUNCTION "stint"."door_ms"(span interval) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
  SELECT ceil(extract(epoch FROM span) * 1000)
$$;
--> statement-breakpoint
CREATE FUNCTION "stint"."door_span"(argument text, span interval, min_ms integer) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN stint.door_ms(span) NOT BETWEEN min_ms AND 31622400000
    THEN argument || ' must be from ' || trim_scale(min_ms / 1000.0) || ' s to 31622400 s' END
$$;
--> statement-breakpoint
CREATE FUNCTION "stint"."door_map"(argument text, value jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN jsonb_typeof(value) <> 'object'
      OR EXISTS (SELECT 1 FROM jsonb_each(CASE jsonb_typeof(value) WHEN 'object' THEN value END) e WHERE jsonb_typeof(e.value) <> 'string')
    THEN argument || ' must be an object whose values are strings' END
$$;
--> statement-breakpoint
CREATE FUNCTION "stint"."door_map_bytes"(value jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(sum(octet_length(e.key) + octet_length(e.value)), 0) FROM jsonb_each_text(CASE jsonb_typeof(value) WHEN 'object' THEN value END) e
$$;
--> statement-breakpoint
-- UTF-16 units of keys and values, and eight for each pair: as `jobSizeBytes` counts. A character past U+FFFF has two units.
CREATE FUNCTION "stint"."door_map_size"(value jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(sum(length(t.pair) + 8 + CASE WHEN octet_length(t.pair) = length(t.pair) THEN 0
      ELSE regexp_count(t.pair, '[' || chr(65536) || '-' || chr(1114111) || ']') END), 0)
    FROM (SELECT e.key || e.value AS pair FROM jsonb_each_text(value) e) t
$$;
--> statement-breakpoint
-- The millisecond that a UUIDv7 names, since 1970.
CREATE FUNCTION "stint"."door_id_ms"(id uuid) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT ('x' || substr(replace(id::text, '-', ''), 1, 12))::bit(48)::bigint
$$;
--> statement-breakpoint
-- The job's row in the journal and its token, as jobs/enqueue.ts writes them, and the ring, which Postgres delivers at the commit.
CREATE FUNCTION "stint"."door_place"(of_job stint.job, of_epoch integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  size integer := octet_length(of_job.payload) + 3 * (stint.door_map_size(of_job.headers) + stint.door_map_size(of_job.labels)) + 512;
  life_until timestamptz := of_job.created_at + of_job.close_ms * interval '1 millisecond';
  detail text := json_strip_nulls(json_build_object('t', nullif(of_job.type, ''), 'p', nullif(-of_job.rank, 0),
    'r', CASE WHEN of_job.ord IS NULL THEN (extract(epoch FROM of_job.run_at) * 1000000)::bigint END))::text;
BEGIN
  INSERT INTO stint.journal (shard, epoch, at, types, jobs, queue_ids, details)
  VALUES (of_job.shard, of_epoch, of_job.created_at, ARRAY[1::smallint], ARRAY[of_job.id], ARRAY[of_job.queue_id],
    CASE WHEN detail <> '{}' THEN ARRAY[detail] END);
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
-- The number of a queue, which springs into being. Each round of a loop sees what was committed before it began.
CREATE FUNCTION "stint"."door_queue"(of_namespace text, of_name text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  found_id integer;
BEGIN
  FOR round IN 1..8 LOOP
    SELECT q.id INTO found_id FROM stint.queue q WHERE q.shard = 0 AND q.namespace = of_namespace AND q.name = of_name;
    EXIT WHEN found_id IS NOT NULL;
    INSERT INTO stint.queue (shard, namespace, name) VALUES (0, of_namespace, of_name)
    ON CONFLICT (shard, namespace, name) DO NOTHING RETURNING id INTO found_id;
    EXIT WHEN found_id IS NOT NULL;
  END LOOP;
  IF found_id IS NULL THEN
    RAISE EXCEPTION 'the queue % was made meanwhile: try again', of_name USING ERRCODE = '40001';
  END IF;
  RETURN found_id;
END $$;
--> statement-breakpoint
-- The epoch to write in. Told in advance, and in words, where the database lacks what a running service gives it.
CREATE FUNCTION "stint"."door_epoch"(job_at timestamptz, at timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  missing text;
BEGIN
  SELECT p.name INTO missing
    FROM (VALUES ('job_' || to_char(job_at AT TIME ZONE 'UTC', 'YYYYMMDD')), ('journal_' || to_char(at AT TIME ZONE 'UTC', 'YYYYMMDD'))) AS p(name)
   WHERE to_regclass('stint.' || p.name) IS NULL LIMIT 1;
  IF missing IS NOT NULL THEN
    RAISE EXCEPTION 'there is no partition stint.%: no Stint service has run on this database of late', missing
      USING ERRCODE = '55000', HINT = 'Start the service: it makes the partitions, days ahead.';
  END IF;
  RETURN stint.current_epoch(0::smallint);
EXCEPTION WHEN SQLSTATE 'ST001' THEN
  RAISE EXCEPTION 'no Stint service has run on this database since it was made, restored or promoted'
    USING ERRCODE = 'ST001', HINT = 'Start the service, and try again.';
END $$;
--> statement-breakpoint
-- Whether a key may be taken over: its time is up, its scope ended, or its job pruned. As jobs/find-duplicates.ts has it.
CREATE FUNCTION "stint"."door_key_is_free"(m stint.idem, at timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT coalesce(m.expires_at <= at, false)
      OR (m.until_terminal AND EXISTS (SELECT 1 FROM stint.terminal t WHERE t.shard = 0 AND t.job = m.job AND t.life >= m.life))
      OR NOT EXISTS (SELECT 1 FROM stint.job p WHERE p.shard = 0 AND p.id = m.job)
$$;
--> statement-breakpoint
-- Writes the job, or finds the one that stands in its place: by the id that the caller minted (first), else by its key. What waits for
-- another transaction sees in its next statement what that one committed; each round needs another writer in between.
CREATE FUNCTION "stint"."door_enqueue"(j stint.job, of_epoch integer, until_terminal boolean, ttl_ms numeric, reject boolean,
  OUT job_id uuid, OUT deduplicated boolean) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  won boolean;
  standing record;
BEGIN
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
-- Enqueues one job in the caller's transaction. Arguments are only ever added, at the end and with defaults; whoever adds one makes the
-- function anew in one migration, and grants it to whom it was granted. The bounds are those of domain/limits.ts.
CREATE FUNCTION "stint"."enqueue"(
  queue text,
  payload bytea DEFAULT '',
  type text DEFAULT '',
  namespace text DEFAULT 'default',
  content_type text DEFAULT '',
  priority integer DEFAULT 0,
  run_at timestamptz DEFAULT NULL,
  idempotency_key text DEFAULT '',
  idempotency_scope text DEFAULT 'RETAINED',
  idempotency_ttl interval DEFAULT NULL,
  on_duplicate text DEFAULT 'RETURN_EXISTING',
  headers jsonb DEFAULT '{}',
  labels jsonb DEFAULT '{}',
  max_attempts integer DEFAULT NULL,
  initial_backoff interval DEFAULT NULL,
  multiplier double precision DEFAULT NULL,
  max_backoff interval DEFAULT NULL,
  jitter boolean DEFAULT NULL,
  non_retryable_codes text[] DEFAULT NULL,
  disposition text DEFAULT 'RERUNNABLE',
  schedule_to_start interval DEFAULT NULL,
  start_to_close interval DEFAULT NULL,
  schedule_to_close interval DEFAULT NULL,
  INOUT job_id uuid DEFAULT NULL,
  OUT deduplicated boolean
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER
-- Resolved by nobody's search_path but ours; planned as on the service's own connections, whatever the tables looked like at the first call.
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
  wrong text[];
  j stint.job;
  of_epoch integer;
BEGIN
  -- NULL stands for an argument that was left out.
  queue := coalesce(queue, '');
  payload := coalesce(payload, '');
  type := coalesce(type, '');
  namespace := coalesce(nullif(namespace, ''), 'default');
  priority := coalesce(priority, 0);
  content_type := coalesce(content_type, '');
  idempotency_key := coalesce(idempotency_key, '');
  idempotency_scope := coalesce(idempotency_scope, 'RETAINED');
  on_duplicate := coalesce(on_duplicate, 'RETURN_EXISTING');
  headers := coalesce(headers, '{}');
  labels := coalesce(labels, '{}');
  disposition := coalesce(disposition, 'RERUNNABLE');
  wrong := array_remove(ARRAY[
    stint.door_name('queue', queue),
    CASE WHEN octet_length(payload) > 1048576 THEN 'payload must be at most 1048576 bytes' END,
    CASE WHEN type <> '' THEN stint.door_name('type', type) END,
    stint.door_name('namespace', namespace),
    CASE WHEN octet_length(content_type) > 256 THEN 'content_type must be at most 256 bytes' END,
    CASE WHEN run_at < '1970-01-01 00:00:00+00' OR run_at >= '2200-01-01 00:00:00+00' THEN 'run_at must lie in the years 1970 to 2199' END,
    CASE WHEN octet_length(idempotency_key) > 256 THEN 'idempotency_key must be at most 256 bytes' END,
    CASE WHEN idempotency_scope NOT IN ('RETAINED', 'UNTIL_TERMINAL') THEN 'idempotency_scope must be RETAINED or UNTIL_TERMINAL' END,
    CASE WHEN idempotency_key = '' AND idempotency_scope <> 'RETAINED' THEN 'idempotency_scope needs an idempotency_key' END,
    CASE WHEN idempotency_key = '' AND idempotency_ttl IS NOT NULL THEN 'idempotency_ttl needs an idempotency_key' END,
    stint.door_span('idempotency_ttl', idempotency_ttl, 1000),
    CASE WHEN on_duplicate NOT IN ('RETURN_EXISTING', 'REJECT') THEN 'on_duplicate must be RETURN_EXISTING or REJECT' END,
    stint.door_map('headers', headers),
    stint.door_map('labels', labels),
    CASE WHEN stint.door_map_bytes(headers) + stint.door_map_bytes(labels) > 16384 THEN 'headers and labels together must be at most 16384 bytes' END,
    CASE WHEN max_attempts NOT BETWEEN 1 AND 1000000 THEN 'max_attempts must be from 1 to 1000000' END,
    stint.door_span('initial_backoff', initial_backoff, 0),
    CASE WHEN multiplier NOT BETWEEN 1 AND 1000 THEN 'multiplier must be from 1 to 1000' END,
    stint.door_span('max_backoff', max_backoff, 0),
    CASE WHEN stint.door_ms(initial_backoff) > stint.door_ms(max_backoff) THEN 'initial_backoff must not be more than max_backoff' END,
    CASE WHEN cardinality(non_retryable_codes) > 100 THEN 'non_retryable_codes must have from 0 to 100 items' END,
    (SELECT min(stint.door_name('non_retryable_codes', coalesce(code, ''))) FROM unnest(non_retryable_codes) AS c(code)),
    CASE WHEN disposition NOT IN ('RERUNNABLE', 'OWNER_BOUND', 'EXTERNALLY_OWNED')
      THEN 'disposition must be RERUNNABLE, OWNER_BOUND or EXTERNALLY_OWNED' END,
    stint.door_span('schedule_to_start', schedule_to_start, 1),
    stint.door_span('start_to_close', start_to_close, 1),
    stint.door_span('schedule_to_close', schedule_to_close, 1),
    CASE WHEN disposition = 'EXTERNALLY_OWNED' AND schedule_to_start IS NOT NULL
      THEN 'schedule_to_start means nothing for a job that is never claimed' END,
    CASE WHEN disposition = 'EXTERNALLY_OWNED' AND start_to_close IS NOT NULL
      THEN 'start_to_close means nothing for a job that is never claimed' END,
    CASE WHEN job_id::text !~ '^.{14}7.{4}[89ab]' THEN 'job_id must be a UUIDv7'
      WHEN abs(stint.door_id_ms(job_id) - extract(epoch FROM clock_timestamp()) * 1000) > 86400000
      THEN 'job_id: its time must lie within 24 hours of the database time' END
  ], NULL);
  IF cardinality(wrong) > 0 THEN
    RAISE EXCEPTION 'stint.enqueue: %', array_to_string(wrong, '; ') USING ERRCODE = '22023';
  END IF;

  j.shard := 0;
  j.id := coalesce(job_id, stint.mint_job_id(clock_timestamp()));
  j.namespace := namespace;
  j.type := type;
  j.rank := -priority::bigint;
  j.run_at := run_at;
  j.digest := stint.content_digest(queue, type, content_type, payload, disposition);
  j.content_type := content_type;
  j.headers := headers;
  j.labels := labels;
  j.idempotency_key := nullif(idempotency_key, '');
  j.max_attempts := max_attempts;
  j.initial_backoff_ms := stint.door_ms(initial_backoff);
  j.multiplier := multiplier;
  j.max_backoff_ms := stint.door_ms(max_backoff);
  j.jitter := jitter;
  -- An empty list takes the queue's, as on the wire; one dimension, whatever came.
  j.non_retryable_codes := (SELECT array_agg(code ORDER BY n) FROM unnest(non_retryable_codes) WITH ORDINALITY AS c(code, n));
  j.disposition := array_position(ARRAY['RERUNNABLE', 'OWNER_BOUND', 'EXTERNALLY_OWNED'], disposition);
  j.close_ms := stint.door_ms(schedule_to_close);
  j.start_ms := stint.door_ms(schedule_to_start);
  j.run_ms := stint.door_ms(start_to_close);
  j.payload := payload;
  of_epoch := stint.door_epoch(to_timestamp(stint.door_id_ms(j.id) / 1000.0), clock_timestamp());
  j.queue_id := stint.door_queue(namespace, queue);
  SELECT e.job_id, e.deduplicated INTO job_id, deduplicated
    FROM stint.door_enqueue(j, of_epoch, idempotency_scope = 'UNTIL_TERMINAL', stint.door_ms(idempotency_ttl), on_duplicate = 'REJECT') e;
END $$;
--> statement-breakpoint
REVOKE EXECUTE ON FUNCTION "stint"."enqueue" FROM PUBLIC;
--> statement-breakpoint
-- Which contract `enqueue` keeps. It rises when what was right before would be wrong; the function of before then stays, under a name with its number.
CREATE FUNCTION "stint"."enqueue_version"() RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT 1
$$;
