CREATE TABLE "stint"."custom_event" (
	"shard" smallint NOT NULL,
	"job" uuid NOT NULL,
	"seq" bigint NOT NULL,
	"type" text NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"life" integer NOT NULL,
	"attempt" integer NOT NULL,
	"fence" bigint NOT NULL,
	"state" text NOT NULL,
	"worker" text NOT NULL,
	"data" "bytea" NOT NULL,
	"content_type" text NOT NULL,
	"replay_key" text,
	CONSTRAINT "custom_event_shard_job_seq_pk" PRIMARY KEY("shard","job","seq")
) PARTITION BY RANGE ("job");
--> statement-breakpoint
CREATE UNIQUE INDEX "custom_event_replay" ON "stint"."custom_event" USING btree ("shard","job","replay_key") WHERE replay_key is not null;
--> statement-breakpoint
-- Custom: custom events. Their partitions come and go with those of their jobs; the days that are there already get theirs here.
CREATE OR REPLACE FUNCTION "stint"."ensure_partitions"(from_at timestamptz, to_at timestamptz) RETURNS integer LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
  day timestamptz;
  parent text;
  child text;
  made integer := 0;
  settings text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('stint.ensure_partitions'));
  FOR day IN SELECT generate_series(date_trunc('day', from_at), date_trunc('day', to_at), interval '1 day') LOOP
    FOREACH parent IN ARRAY ARRAY['job', 'attempt', 'terminal', 'job_event', 'custom_event', 'checkpoint', 'journal'] LOOP
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
END $$;
--> statement-breakpoint
CREATE OR REPLACE FUNCTION "stint"."drop_empty_partition"(before timestamptz) RETURNS text LANGUAGE plpgsql SET lock_timeout = '50ms' AS $$
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
    FOREACH parent IN ARRAY ARRAY['attempt', 'terminal', 'job_event', 'custom_event', 'checkpoint', 'job'] LOOP
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
DO $$
DECLARE
  day text;
  starts timestamptz;
BEGIN
  FOR day IN SELECT d FROM stint.days_before('job', 'infinity') d LOOP
    starts := (day || ' UTC')::timestamptz;
    EXECUTE format('CREATE TABLE stint.%I (LIKE stint.custom_event INCLUDING ALL) WITH (autovacuum_vacuum_insert_threshold = 200000, autovacuum_analyze_threshold = 200000)',
      'custom_event_' || day);
    EXECUTE format('ALTER TABLE stint.custom_event ATTACH PARTITION stint.%I FOR VALUES FROM (%L) TO (%L)', 'custom_event_' || day,
      stint.uuid_floor(starts), stint.uuid_floor(starts + interval '1 day'));
  END LOOP;
END $$;
