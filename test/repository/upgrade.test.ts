import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { drizzle } from 'drizzle-orm/postgres-js';
import { migrate } from 'drizzle-orm/postgres-js/migrator';
import type { Sql } from 'postgres';
import { expect, it, onTestFinished } from 'vitest';
import { JobState } from '../../gen/stint/v1/job.ts';
import { JobIdMint } from '../../src/engine/jobs/mint-job-id.ts';
import journal from '../../src/repository/migrations/meta/_journal.json' with { type: 'json' };
import { connect, held } from '../contract/stint.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { startService } from '../support/service.ts';

const migrations = join(import.meta.dirname, '../../src/repository/migrations');

/** A database with the tables of the first release, and nothing in them. */
async function firstRelease(): Promise<TestDatabase> {
  const database = await createDatabase('template template0');
  const folder = mkdtempSync(join(tmpdir(), 'stint-migrations-'));
  cpSync(migrations, folder, { recursive: true });
  writeFileSync(join(folder, 'meta/_journal.json'), JSON.stringify({ ...journal, entries: journal.entries.slice(0, 1) }));
  await migrate(drizzle(database.sql), { migrationsFolder: folder, migrationsSchema: 'stint_migrations' });
  rmSync(folder, { recursive: true });
  return database;
}

const FAILURE = JSON.stringify({ code: 'old', message: 'as it was' });

/** A job that waits, one that is held, and one that failed: rows as that release wrote them. */
async function fill(sql: Sql): Promise<{ readonly ready: string; readonly running: string; readonly failed: string }> {
  const mint = new JobIdMint();
  const [ready, running, failed] = [mint.mint(), mint.mint(), mint.mint()];
  await sql`select stint.ensure_partitions(now() - interval '25 hours', now() + interval '72 hours')`;
  await sql`insert into stint.queue (shard, namespace, name) values (0, 'old', 'q')`;
  await sql`
    insert into stint.job (shard, id, namespace, queue_id, type, rank, ord, created_at, digest, content_type, headers, labels, payload)
    select 0, i.id, 'old', q.id, '', 0, nextval('stint.job_ord'), now(), '', '', '{}', '{}', 'kept'
      from unnest(${[ready, running, failed]}::uuid[]) as i(id), stint.queue q`;
  await sql`
    insert into stint.ready (shard, queue_id, rank, ord, job, attempt, fence, life, seq, releases, size, checkpointed)
    select 0, queue_id, rank, ord, id, 0, 0, 1, 1, 0, 600, false from stint.job where id = ${ready}`;
  await sql`
    insert into stint.lease (shard, job, token, namespace, worker, until, duration_ms, grace_ms, queue_id, rank, ord, claimed_at, claimed_seq,
        started_at, started_seq, attempt, fence, life, seq, releases, size, checkpointed)
    select 0, id, gen_random_uuid(), 'old', 'w', now() + interval '1 hour', 30000, 5000, queue_id, rank, ord, now(), 2, now(), 3, 1, 1, 1, 3, 0, 600, false
      from stint.job where id = ${running}`;
  await sql`
    insert into stint.attempt (shard, job, fence, attempt, refunded, life, token, settlement, worker, claimed_seq, claimed_at, started_seq, started_at,
        ended_seq, ended_at, ended_type, failure, dead_lettered)
    values (0, ${failed}, 1, 1, false, 1, gen_random_uuid(), 'fail', 'w', 2, now(), 3, now(), 4, now(), 12, ${FAILURE}::text::jsonb, true)`;
  await sql`
    insert into stint.terminal (shard, job, life, seq, type, attempt, fence, finished_at, failure)
    values (0, ${failed}, 1, 4, 12, 1, 1, now(), ${FAILURE}::text::jsonb)`;
  await sql`insert into stint.dead_letter (shard, queue_id, job, life, at) select 0, queue_id, id, 1, now() from stint.job where id = ${failed}`;
  return { ready, running, failed };
}

it('a database of the first release is brought up to date, and its jobs go on', async () => {
  const database = await firstRelease();
  onTestFinished(() => database.drop());
  const { ready, running, failed } = await fill(database.sql);
  const service = await startService({ database });
  onTestFinished(() => service.stop());
  const stint = connect(service.address);
  onTestFinished(() => stint.close());
  const old = { namespace: 'old' };

  expect((await stint.getJob({ ...old, jobId: running })).job).toMatchObject({ state: JobState.RUNNING, attempt: 1, lastSequence: 3n });
  const [claimed] = (await stint.claim({ ...old, queues: ['q'], workerId: 'new' })).jobs;
  const { jobId, leaseToken } = held(claimed);
  expect(jobId).toBe(ready);
  await stint.suspend({ leaseToken, reason: 'a settlement that the first release did not know' });
  await stint.resumeJob({ ...old, jobId: ready });
  await stint.cancelJob({ ...old, jobId: running });
  expect((await stint.listDeadLetters({ ...old, queue: 'q' })).deadLetters).toMatchObject([{ jobId: failed, failure: { code: 'old' } }]);
  await stint.replayDeadLetters({ ...old, queue: 'q' });
  expect((await stint.getJob({ ...old, jobId: failed })).job).toMatchObject({ state: JobState.READY, life: 2, lastSequence: 5n });
  const told = await stint.checkInvariants({ ...old });
  expect(told.violations).toEqual([]);
});
