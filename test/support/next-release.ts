import { cpSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Release, thisRelease } from '../../src/repository/schema-version.ts';

interface Journal {
  readonly entries: readonly { readonly idx: number; readonly when: number }[];
}

function parseJournal(text: string): Journal {
  return JSON.parse(text) as Journal;
}

/** A release after the given one: its migrations and one more. The folder goes with the one it lies in. */
export function nextRelease(before: Release, migration: { readonly tag: string; readonly sql: string }): Release {
  const migrations = join(mkdtempSync(join(tmpdir(), 'stint-next-')), 'migrations');
  mkdirSync(migrations);
  cpSync(before.migrations, migrations, { recursive: true });
  const file = join(migrations, 'meta/_journal.json');
  const journal = parseJournal(readFileSync(file, 'utf8'));
  const last = journal.entries.at(-1);
  const idx = before.schemaVersion + 1;
  const entry = { idx, version: '7', when: (last?.when ?? 0) + 1, tag: migration.tag, breakpoints: true };
  writeFileSync(file, JSON.stringify({ ...journal, entries: [...journal.entries, entry] }));
  writeFileSync(join(migrations, `${migration.tag}.sql`), migration.sql);
  return { schemaVersion: idx, migrations };
}

const { schemaVersion } = thisRelease();

/** All that the rule allows, in one: a column that the release before does not write, a table, an index. */
export const EXPANDING = `
  ALTER TABLE "stint"."job" ADD COLUMN "next_note" text DEFAULT 'of the next release' NOT NULL;
  --> statement-breakpoint
  ALTER TABLE "stint"."ready" ADD COLUMN "next_hint" integer DEFAULT 7 NOT NULL;
  --> statement-breakpoint
  ALTER TABLE "stint"."lease" ADD COLUMN "next_hint" integer;
  --> statement-breakpoint
  CREATE TABLE "stint"."next_table" ("shard" smallint NOT NULL, "id" uuid NOT NULL, CONSTRAINT "next_table_pk" PRIMARY KEY("shard","id"));
  --> statement-breakpoint
  CREATE INDEX "next_index" ON "stint"."ready" USING btree ("next_hint");
  --> statement-breakpoint
  UPDATE "stint"."schema_version" SET "version" = ${schemaVersion + 1};`;

/** Behind which only the release that knows the expanded schema works on. */
export const CONTRACTING = `
  ALTER TABLE "stint"."lease" DROP COLUMN "next_hint";
  --> statement-breakpoint
  UPDATE "stint"."schema_version" SET "version" = ${schemaVersion + 2}, "serves_from" = ${schemaVersion + 1};`;
