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
  constraint attempt_settlement CHECK ((settlement = ANY (ARRAY['ack'::text, 'fail'::text, 'release'::text]))),
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
  constraint dead_letter_shard_queue_id_n_pk PRIMARY KEY (shard, queue_id, n),
  constraint dead_letter_job UNIQUE (shard, job, life)
);

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
  constraint deferred_kind CHECK ((kind = ANY (ARRAY[1, 2]))),
  constraint deferred_shard_job_pk PRIMARY KEY (shard, job)
) with (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=2000, autovacuum_vacuum_cost_delay=0, autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=20000);
CREATE INDEX deferred_due ON stint.deferred USING btree (shard, due_at, job);

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
  constraint lease_shard_job_pk PRIMARY KEY (shard, job)
) with (fillfactor=50, autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=2000, autovacuum_vacuum_cost_delay=0, autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=20000);
CREATE UNIQUE INDEX lease_request ON stint.lease USING btree (shard, namespace, worker, request, job) WHERE (request IS NOT NULL);

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
  constraint ready_shard_queue_id_rank_ord_pk PRIMARY KEY (shard, queue_id, rank, ord)
) with (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=2000, autovacuum_vacuum_cost_delay=0, autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=20000);

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
  constraint terminal_shard_job_life_pk PRIMARY KEY (shard, job, life)
) partition by RANGE (job);

create sequence stint.dead_letter_n cache 1;
create sequence stint.job_ord cache 1;
create sequence stint.journal_n cache 1;
create sequence stint.queue_id_seq cache 1;

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
