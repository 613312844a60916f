import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import journal from '../../src/repository/migrations/meta/_journal.json' with { type: 'json' };
import { thisRelease } from '../../src/repository/schema-version.ts';
import { breachesOf } from '../house/expand-contract.ts';
import { createDatabase } from '../support/database.ts';

const { schemaVersion, migrations } = thisRelease();

/** From the first that came after the row which they write. */
const FIRST_BOUND = 10;

/** Each release that is out has a row in docs/operations.md: its name, its schema version, the oldest it serves beside. */
const releases = [
  ...readFileSync(join(import.meta.dirname, '../../docs/operations.md'), 'utf8').matchAll(
    /^\| (unreleased|\d+\.\d+\.\d+) \| (\d+) \| (\d+) \|$/gm,
  ),
].map(([, name = '', version, from]) => ({ name, version: Number(version), servesFrom: Number(from) }));

/** Before the first release nobody but the newest schema need be served on. */
const released = releases.filter(({ name }) => name !== 'unreleased').at(-1)?.version ?? schemaVersion;

const version = (number: number, more = '') =>
  `--> statement-breakpoint\nUPDATE "stint"."schema_version" SET "version" = ${number}${more};`;

describe('the migrations', () => {
  it('are those that the code knows', () => {
    expect(schemaVersion).toBe(journal.entries.at(-1)?.idx);
    expect(journal.entries.map(({ idx }) => idx)).toEqual(journal.entries.map((_, index) => index));
  });

  it('add, and what takes away says whom it leaves behind', () => {
    let servesFrom = 8;
    for (const { idx, tag } of journal.entries.filter(({ idx }) => idx >= FIRST_BOUND)) {
      const sql = readFileSync(join(migrations, `${tag}.sql`), 'utf8');
      expect({ tag, breaches: breachesOf({ number: idx, sql }, { servesFrom, released }) }).toEqual({ tag, breaches: [] });
      servesFrom = Number(/"serves_from" = (\d+)/.exec(sql)?.[1] ?? servesFrom);
    }
  });

  it('leave in the database what the table of releases in docs/operations.md tells', async () => {
    const { sql, drop } = await createDatabase();
    onTestFinished(drop);
    const [row] = await sql`select version, serves_from as "servesFrom" from stint.schema_version`;
    expect(row?.['version']).toBe(schemaVersion);
    expect(releases.at(-1)).toMatchObject({ name: 'unreleased', ...row });
  });
});

describe('the rule of expanding and contracting', () => {
  const standing = { servesFrom: 8, released: 11 };
  const judge = (sql: string, more = '') => breachesOf({ number: 12, sql: `${sql};\n${version(12, more)}` }, standing);

  it.each([
    'CREATE TABLE "stint"."a" ("b" integer NOT NULL, CONSTRAINT "p" PRIMARY KEY("b"))',
    'CREATE TABLE "stint"."a" ("b" integer);\nCREATE UNIQUE INDEX "u" ON "stint"."a" USING btree ("b");\nALTER TABLE "stint"."a" ADD CONSTRAINT "c" CHECK (b > 0)',
    'ALTER TABLE "stint"."job" ADD COLUMN "b" integer',
    'ALTER TABLE "stint"."job" ADD COLUMN "b" integer DEFAULT 3 NOT NULL',
    'CREATE INDEX "i" ON "stint"."job" USING btree ("b")',
    'CREATE OR REPLACE FUNCTION "stint"."f"() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DROP TABLE "stint"."ready"; END $$',
    '-- DROP TABLE "stint"."ready"\nSELECT 1',
    'ALTER TABLE "stint"."job" SET (fillfactor = 50)',
  ])('takes %s', (sql) => {
    expect(judge(sql)).toEqual([]);
  });

  it.each([
    'DROP TABLE "stint"."job"',
    'drop index "stint"."i"',
    'DROP FUNCTION "stint"."f"()',
    'ALTER TABLE "stint"."job" DROP COLUMN "b"',
    'ALTER TABLE "stint"."job" ADD COLUMN "a" integer, DROP COLUMN "b"',
    'ALTER TABLE "stint"."job" RENAME TO "work"',
    'ALTER TABLE "stint"."job" RENAME COLUMN "a" TO "b"',
    'ALTER TABLE "stint"."job" ALTER COLUMN "a" SET DATA TYPE bigint',
    'ALTER TABLE "stint"."job" ALTER COLUMN "a" SET NOT NULL',
    'ALTER TABLE "stint"."job" ALTER COLUMN "a" DROP DEFAULT',
    'ALTER TABLE "stint"."job" ALTER COLUMN "a" DROP NOT NULL',
    'ALTER TABLE "stint"."job" ADD COLUMN "b" integer NOT NULL',
    'ALTER TABLE "stint"."job" ADD COLUMN "a" integer DEFAULT 1 NOT NULL, ADD COLUMN "b" integer NOT NULL',
    'ALTER TABLE "stint"."job" ADD CONSTRAINT "c" CHECK (b > 0)',
    'CREATE UNIQUE INDEX "u" ON "stint"."job" USING btree ("b")',
  ])('takes %s only from one that leaves a release behind', (sql) => {
    expect(judge(sql)).toEqual([expect.stringContaining('does not raise "serves_from"')]);
    expect(judge(sql, ', "serves_from" = 11')).toEqual([]);
  });

  it('leaves nobody behind who is the newest release, and nobody in again', () => {
    expect(judge('DROP TABLE "stint"."job"', ', "serves_from" = 12')).toEqual([expect.stringContaining('the last one that is out is 11')]);
    expect(judge('SELECT 1', ', "serves_from" = 7')).toEqual([expect.stringContaining('those before 8')]);
  });

  it('asks each migration for its number', () => {
    const told = { ...standing };
    expect(breachesOf({ number: 12, sql: 'SELECT 1' }, told)).toEqual([expect.stringContaining('does not say its number')]);
    expect(breachesOf({ number: 12, sql: version(11) }, told)).toEqual([expect.stringContaining('SET "version" = 12')]);
  });
});
