CREATE TABLE "stint"."session" (
	"shard" smallint NOT NULL,
	"id" uuid NOT NULL,
	"until" timestamp with time zone NOT NULL,
	"duration_ms" integer NOT NULL,
	CONSTRAINT "session_shard_id_pk" PRIMARY KEY("shard","id")
);
--> statement-breakpoint
ALTER TABLE "stint"."lease" ADD COLUMN "session" uuid;
--> statement-breakpoint
-- Custom: a beat of a session touches no indexed column; with room on the page it stays a HOT update, also where one statement renews every row on it.
ALTER TABLE "stint"."session" SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
