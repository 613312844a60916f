-- What the migrations make. Written by `npm run schema`; never edited.

create table stint.attempt (
  shard smallint not null,
  job uuid not null,
  fence bigint not null,
  attempt integer not null,
  refunded boolean not null,
  life integer not null,
  token uuid not null,
  settlement text,
  worker text not null,
  claimed_seq bigint not null,
  claimed_at timestamp with time zone not null,
  started_seq bigint,
  started_at timestamp with time zone,
  ended_seq bigint not null,
  ended_at timestamp with time zone not null,
  ended_type smallint not null,
  failure jsonb,
  due_at timestamp with time zone,
  dead_lettered boolean not null,
  reason text,
  constraint attempt_settlement CHECK ((settlement = ANY (ARRAY['ack'::text, 'fail'::text, 'release'::text, 'suspend'::text]))),
  constraint attempt_shard_job_fence_pk PRIMARY KEY (shard, job, fence)
) partition by RANGE (job);

create table stint.checkpoint (
  shard smallint not null,
  job uuid not null,
  fence bigint not null,
  data bytea not null,
  constraint checkpoint_shard_job_fence_pk PRIMARY KEY (shard, job, fence)
) partition by RANGE (job);

create table stint.dead_letter (
  shard smallint not null,
  queue_id integer not null,
  n bigint not null default nextval('stint.dead_letter_n'::regclass),
  job uuid not null,
  life integer not null,
  at timestamp with time zone not null,
  namespace text not null,
  payload_bytes integer not null default 65536,
  replayed_at timestamp with time zone,
  constraint dead_letter_shard_queue_id_n_pk PRIMARY KEY (shard, queue_id, n),
  constraint dead_letter_job UNIQUE (shard, job, life)
);
CREATE INDEX dead_letter_namespace ON stint.dead_letter USING btree (shard, namespace, n);

create table stint.deferred (
  shard smallint not null,
  job uuid not null,
  due_at timestamp with time zone not null,
  kind smallint not null,
  queue_id integer not null,
  rank bigint not null,
  attempt integer not null,
  fence bigint not null,
  life integer not null,
  seq bigint not null,
  releases integer not null,
  size integer not null,
  checkpointed boolean not null,
  start_ms bigint,
  run_ms bigint,
  life_until timestamp with time zone,
  constraint deferred_kind CHECK ((kind = ANY (ARRAY[1, 2, 3]))),
  constraint deferred_shard_job_pk PRIMARY KEY (shard, job)
) with (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=2000, autovacuum_vacuum_cost_delay=0, autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=20000);
CREATE INDEX deferred_due ON stint.deferred USING btree (shard, due_at, job);
CREATE INDEX deferred_give_up ON stint.deferred USING btree (shard, life_until) WHERE (life_until IS NOT NULL);

create table stint.epoch (
  shard smallint not null,
  number integer not null,
  id uuid not null,
  system_identifier bigint not null,
  timeline text not null,
  opened_at timestamp with time zone not null,
  home text not null,
  constraint epoch_shard_number_pk PRIMARY KEY (shard, number)
);

create table stint.idem (
  shard smallint not null,
  queue_id integer not null,
  key text not null,
  job uuid not null,
  until_terminal boolean not null,
  expires_at timestamp with time zone,
  life integer not null default 1,
  constraint idem_shard_queue_id_key_pk PRIMARY KEY (shard, queue_id, key)
);

create table stint.job (
  shard smallint not null,
  id uuid not null,
  namespace text not null,
  queue_id integer not null,
  type text not null,
  rank bigint not null,
  ord bigint,
  run_at timestamp with time zone,
  created_at timestamp with time zone not null,
  digest bytea not null,
  content_type text not null,
  headers jsonb not null,
  labels jsonb not null,
  idempotency_key text,
  max_attempts integer,
  initial_backoff_ms bigint,
  multiplier double precision,
  max_backoff_ms bigint,
  jitter boolean,
  non_retryable_codes text[],
  payload bytea not null,
  disposition smallint not null default 1,
  close_ms bigint,
  start_ms bigint,
  run_ms bigint,
  constraint job_shard_id_pk PRIMARY KEY (shard, id)
) partition by RANGE (id);

create table stint.job_event (
  shard smallint not null,
  job uuid not null,
  seq bigint not null,
  type smallint not null,
  at timestamp with time zone not null,
  life integer not null,
  attempt integer not null,
  fence bigint not null,
  rank bigint,
  ord bigint,
  worker text,
  detail text,
  constraint job_event_shard_job_seq_pk PRIMARY KEY (shard, job, seq)
) partition by RANGE (job);

create table stint.journal (
  shard smallint not null,
  epoch integer not null,
  n bigint not null default nextval('stint.journal_n'::regclass),
  xid xid8 not null default pg_current_xact_id(),
  at timestamp with time zone not null,
  types smallint[] not null storage external,
  jobs uuid[] not null storage external,
  seqs bigint[] storage external,
  queue_ids integer[] not null storage external,
  lives integer[] storage external,
  attempts integer[] storage external,
  fences bigint[] storage external,
  workers text[] storage external,
  details text[] storage external,
  constraint journal_shard_epoch_n_at_pk PRIMARY KEY (shard, epoch, n, at)
) partition by RANGE (at);
CREATE INDEX journal_xid ON ONLY stint.journal USING btree (shard, epoch, xid);

create table stint.lease (
  shard smallint not null,
  job uuid not null,
  token uuid not null,
  namespace text not null,
  worker text not null,
  request text,
  until timestamp with time zone not null,
  duration_ms integer not null,
  grace_ms integer not null,
  queue_id integer not null,
  rank bigint not null,
  ord bigint not null,
  claimed_at timestamp with time zone not null,
  claimed_seq bigint not null,
  started_at timestamp with time zone,
  started_seq bigint,
  attempt integer not null,
  fence bigint not null,
  life integer not null,
  seq bigint not null,
  releases integer not null,
  size integer not null,
  checkpointed boolean not null,
  start_ms bigint,
  run_ms bigint,
  life_until timestamp with time zone,
  run_until timestamp with time zone,
  cancel_deadline timestamp with time zone,
  constraint lease_shard_job_pk PRIMARY KEY (shard, job)
) with (fillfactor=50, autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=2000, autovacuum_vacuum_cost_delay=0, autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=20000);
CREATE UNIQUE INDEX lease_request ON stint.lease USING btree (shard, namespace, worker, request, job) WHERE (request IS NOT NULL);

create table stint.parked (
  shard smallint not null,
  job uuid not null,
  kind smallint not null,
  queue_id integer not null,
  rank bigint not null,
  attempt integer not null,
  fence bigint not null,
  life integer not null,
  seq bigint not null,
  releases integer not null,
  size integer not null,
  checkpointed boolean not null,
  start_ms bigint,
  run_ms bigint,
  life_until timestamp with time zone,
  constraint parked_kind CHECK ((kind = ANY (ARRAY[1, 2]))),
  constraint parked_shard_job_pk PRIMARY KEY (shard, job)
) with (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=2000, autovacuum_vacuum_cost_delay=0, autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=20000);
CREATE INDEX parked_give_up ON stint.parked USING btree (shard, life_until) WHERE (life_until IS NOT NULL);

create table stint.queue (
  shard smallint not null,
  id integer not null generated by default as identity,
  namespace text not null,
  name text not null,
  created_at timestamp with time zone not null default now(),
  lease_duration_ms integer not null default 30000,
  lease_grace_ms integer not null default 5000,
  cancellation_budget_ms bigint not null default 30000,
  max_attempts integer not null default 10,
  initial_backoff_ms bigint not null default 1000,
  multiplier double precision not null default 2,
  max_backoff_ms bigint not null default 600000,
  jitter boolean not null default true,
  non_retryable_codes text[] not null default '{}'::text[],
  dead_letter_enabled boolean not null default true,
  dead_letter_queue_id integer,
  dead_letter_payload_bytes integer not null default 65536,
  constraint queue_shard_id_pk PRIMARY KEY (shard, id),
  constraint queue_name UNIQUE (shard, namespace, name)
);

create table stint.ready (
  shard smallint not null,
  queue_id integer not null,
  rank bigint not null,
  ord bigint not null,
  job uuid not null,
  attempt integer not null,
  fence bigint not null,
  life integer not null,
  seq bigint not null,
  releases integer not null,
  size integer not null,
  checkpointed boolean not null,
  start_ms bigint,
  run_ms bigint,
  life_until timestamp with time zone,
  give_up_at timestamp with time zone,
  constraint ready_shard_queue_id_rank_ord_pk PRIMARY KEY (shard, queue_id, rank, ord)
) with (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=2000, autovacuum_vacuum_cost_delay=0, autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=20000);
CREATE INDEX ready_give_up ON stint.ready USING btree (shard, give_up_at) WHERE (give_up_at IS NOT NULL);

create table stint.request (
  shard smallint not null,
  namespace text not null,
  rpc text not null,
  request_id text not null,
  digest bytea not null,
  at timestamp with time zone not null,
  answer text not null,
  constraint request_shard_namespace_rpc_request_id_pk PRIMARY KEY (shard, namespace, rpc, request_id)
);

create table stint.terminal (
  shard smallint not null,
  job uuid not null,
  life integer not null,
  seq bigint not null,
  type smallint not null,
  attempt integer not null,
  fence bigint not null,
  finished_at timestamp with time zone not null,
  result bytea,
  result_content_type text,
  failure jsonb,
  detail text,
  constraint terminal_shard_job_life_pk PRIMARY KEY (shard, job, life)
) partition by RANGE (job);

create sequence stint.dead_letter_n cache 1;
create sequence stint.job_ord cache 1;
create sequence stint.journal_n cache 1;
create sequence stint.queue_id_seq cache 1;

CREATE OR REPLACE FUNCTION stint.content_digest(queue text, type text, content_type text, payload bytea, disposition text)
 RETURNS bytea
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
AS $function$
  SELECT sha256(convert_to(octet_length(queue) || ':' || queue || octet_length(type) || ':' || type || octet_length(content_type) || ':' || content_type
    || octet_length(payload) || ':', 'UTF8') || payload || convert_to(CASE WHEN disposition = 'RERUNNABLE' THEN '' ELSE disposition END, 'UTF8'))
$function$;

CREATE OR REPLACE FUNCTION stint.current_epoch(of_shard smallint)
 RETURNS integer
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE
  found_number integer;
BEGIN
  SELECT e.number INTO found_number
    FROM stint.epoch e
   WHERE e.shard = of_shard
     AND e.system_identifier = (SELECT c.system_identifier FROM pg_control_system() c)
     AND e.timeline = substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
     AND e.home = (SELECT stint.epoch_home())
   ORDER BY e.number DESC
   LIMIT 1;
  IF found_number IS NULL THEN
    RAISE EXCEPTION 'shard % has no epoch on this server', of_shard USING ERRCODE = 'ST001';
  END IF;
  RETURN found_number;
END $function$;

CREATE OR REPLACE FUNCTION stint.door_enqueue(j stint.job, of_epoch integer, until_terminal boolean, ttl_ms numeric, reject boolean, OUT job_id uuid, OUT deduplicated boolean)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION stint.door_epoch(job_at timestamp with time zone, at timestamp with time zone)
 RETURNS integer
 LANGUAGE plpgsql
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION stint.door_id_ms(id uuid)
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE
AS $function$
  SELECT ('x' || substr(replace(id::text, '-', ''), 1, 12))::bit(48)::bigint
$function$;

CREATE OR REPLACE FUNCTION stint.door_key_is_free(m stint.idem, at timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
  SELECT coalesce(m.expires_at <= at, false)
      OR (m.until_terminal AND EXISTS (SELECT 1 FROM stint.terminal t WHERE t.shard = 0 AND t.job = m.job AND t.life >= m.life))
      OR NOT EXISTS (SELECT 1 FROM stint.job p WHERE p.shard = 0 AND p.id = m.job)
$function$;

CREATE OR REPLACE FUNCTION stint.door_map(argument text, value jsonb)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
AS $function$
  SELECT CASE WHEN jsonb_typeof(value) <> 'object'
      OR EXISTS (SELECT 1 FROM jsonb_each(CASE jsonb_typeof(value) WHEN 'object' THEN value END) e WHERE jsonb_typeof(e.value) <> 'string')
    THEN argument || ' must be an object whose values are strings' END
$function$;

CREATE OR REPLACE FUNCTION stint.door_map_bytes(value jsonb)
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE
AS $function$
  SELECT coalesce(sum(octet_length(e.key) + octet_length(e.value)), 0) FROM jsonb_each_text(CASE jsonb_typeof(value) WHEN 'object' THEN value END) e
$function$;

CREATE OR REPLACE FUNCTION stint.door_map_size(value jsonb)
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE
AS $function$
  SELECT coalesce(sum(length(t.pair) + 8 + CASE WHEN octet_length(t.pair) = length(t.pair) THEN 0
      ELSE regexp_count(t.pair, '[' || chr(65536) || '-' || chr(1114111) || ']') END), 0)
    FROM (SELECT e.key || e.value AS pair FROM jsonb_each_text(value) e) t
$function$;

CREATE OR REPLACE FUNCTION stint.door_ms(span interval)
 RETURNS numeric
 LANGUAGE sql
 IMMUTABLE
AS $function$
  SELECT ceil(extract(epoch FROM span) * 1000)
$function$;

CREATE OR REPLACE FUNCTION stint.door_name(argument text, value text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
AS $function$
  SELECT CASE WHEN value COLLATE "C" !~ '^[A-Za-z0-9._-]{1,128}$' THEN argument || ' must match [A-Za-z0-9._-]{1,128}' END
$function$;

CREATE OR REPLACE FUNCTION stint.door_place(of_job stint.job, of_epoch integer)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION stint.door_queue(of_namespace text, of_name text)
 RETURNS integer
 LANGUAGE plpgsql
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION stint.door_span(argument text, span interval, min_ms integer)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
AS $function$
  SELECT CASE WHEN stint.door_ms(span) NOT BETWEEN min_ms AND 31622400000
    THEN argument || ' must be from ' || trim_scale(min_ms / 1000.0) || ' s to 31622400 s' END
$function$;

CREATE OR REPLACE FUNCTION stint.enqueue(queue text, payload bytea DEFAULT '\x'::bytea, type text DEFAULT ''::text, namespace text DEFAULT 'default'::text, content_type text DEFAULT ''::text, priority integer DEFAULT 0, run_at timestamp with time zone DEFAULT NULL::timestamp with time zone, idempotency_key text DEFAULT ''::text, idempotency_scope text DEFAULT 'RETAINED'::text, idempotency_ttl interval DEFAULT NULL::interval, on_duplicate text DEFAULT 'RETURN_EXISTING'::text, headers jsonb DEFAULT '{}'::jsonb, labels jsonb DEFAULT '{}'::jsonb, max_attempts integer DEFAULT NULL::integer, initial_backoff interval DEFAULT NULL::interval, multiplier double precision DEFAULT NULL::double precision, max_backoff interval DEFAULT NULL::interval, jitter boolean DEFAULT NULL::boolean, non_retryable_codes text[] DEFAULT NULL::text[], disposition text DEFAULT 'RERUNNABLE'::text, schedule_to_start interval DEFAULT NULL::interval, start_to_close interval DEFAULT NULL::interval, schedule_to_close interval DEFAULT NULL::interval, INOUT job_id uuid DEFAULT NULL::uuid, OUT deduplicated boolean)
 RETURNS record
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION stint.enqueue_version()
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
  SELECT 1
$function$;

CREATE OR REPLACE FUNCTION stint.ensure_partitions(from_at timestamp with time zone, to_at timestamp with time zone)
 RETURNS integer
 LANGUAGE plpgsql
 SET "TimeZone" TO 'UTC'
AS $function$
DECLARE
  day timestamptz;
  parent text;
  child text;
  made integer := 0;
  settings text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('stint.ensure_partitions'));
  FOR day IN SELECT generate_series(date_trunc('day', from_at), date_trunc('day', to_at), interval '1 day') LOOP
    FOREACH parent IN ARRAY ARRAY['job', 'attempt', 'terminal', 'job_event', 'checkpoint', 'journal'] LOOP
      child := format('%s_%s', parent, to_char(day, 'YYYYMMDD'));
      CONTINUE WHEN to_regclass('stint.' || child) IS NOT NULL;
      settings := 'autovacuum_vacuum_insert_threshold = 200000, autovacuum_analyze_threshold = 200000';
      IF parent = 'journal' THEN
        settings := settings || ', toast_tuple_target = 8160';
      END IF;
      EXECUTE format('CREATE TABLE stint.%I (LIKE stint.%I INCLUDING ALL) WITH (%s)', child, parent, settings);
      IF parent = 'journal' THEN
        EXECUTE format('ALTER TABLE stint.journal ATTACH PARTITION stint.%I FOR VALUES FROM (%L) TO (%L)', child, day, day + interval '1 day');
      ELSE
        EXECUTE format('ALTER TABLE stint.%I ATTACH PARTITION stint.%I FOR VALUES FROM (%L) TO (%L)', parent, child,
          stint.uuid_floor(day), stint.uuid_floor(day + interval '1 day'));
      END IF;
      made := made + 1;
    END LOOP;
  END LOOP;
  RETURN made;
END $function$;

CREATE OR REPLACE FUNCTION stint.epoch_home()
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$
  SELECT d.oid || '/' || 'stint.epoch'::regclass::oid FROM pg_database d WHERE d.datname = current_database()
$function$;

CREATE OR REPLACE FUNCTION stint.expect_epoch(of_shard smallint, expected integer[])
 RETURNS integer
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE
  found_number integer := stint.current_epoch(of_shard);
BEGIN
  IF found_number <> ALL (expected) OR cardinality(expected) > 1 THEN
    RAISE EXCEPTION 'shard % is in epoch %', of_shard, found_number USING ERRCODE = 'ST002';
  END IF;
  RETURN found_number;
END $function$;

CREATE OR REPLACE FUNCTION stint.mint_job_id(at timestamp with time zone)
 RETURNS uuid
 LANGUAGE sql
AS $function$
  SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid
$function$;

CREATE OR REPLACE FUNCTION stint.retry_statement()
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
BEGIN
  RAISE EXCEPTION 'a row this statement decided upon has moved' USING ERRCODE = '40001';
END $function$;

CREATE OR REPLACE FUNCTION stint.uuid_floor(at timestamp with time zone)
 RETURNS uuid
 LANGUAGE sql
 IMMUTABLE
AS $function$
  SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$function$;
