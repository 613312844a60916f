/** Those who take a job away because it is over, and those who begin its next life: one of them does, and does it whole. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobId } from '../../src/domain/job.ts';
import { DEFAULT_SETTINGS } from '../../src/domain/queue.ts';
import type { Repository } from '../../src/engine/ports/repository.ts';
import type { Run } from '../../src/repository/database.ts';
import { cancelling } from '../../src/repository/jobs/cancel.ts';
import { retrying } from '../../src/repository/jobs/retry.ts';
import { type PruneChoice, pruneEnded } from '../../src/repository/prune-jobs.ts';
import { FIRST_MARK } from '../../src/repository/prune-marks.ts';
import { PATIENT } from '../engine/stage.ts';
import { Ground, inBatches, fromBehind, JOBS, SECOND_MS } from './ground.ts';
import { openTransaction } from './open-transaction.ts';

const RETENTION_MS = 60 * SECOND_MS;
const KEY = { key: 'k', scope: 'RETAINED', ttlMs: null } as const;

let ground: Ground;
beforeAll(async () => {
  ground = await Ground.open();
});
beforeEach(async () => {
  await ground.renew();
  const { namespace, name } = ground.queue;
  const change = () => ({ settings: { ...DEFAULT_SETTINGS, retentionMs: RETENTION_MS } });
  await ground.here.putQueue({ namespace, name, change, actor: '', request: null });
});
afterAll(() => ground.close());

const played = () => ground.stage.clock.now().toISOString();

/** A round that has removed what it found and has not committed; `found` runs when it has looked and before it locks. */
const openPrune = (found = async (): Promise<unknown> => undefined) => {
  const choice: PruneChoice = { before: null, retentionMs: RETENTION_MS, namespace: ground.queue.namespace, queue: null, types: null };
  return openTransaction(ground.stage.database.url, (run) => {
    const interrupted: Run = async (statement, values) => {
      const rows = await run(statement, values);
      if (statement.name === 'find-ended') await found();
      return rows;
    };
    return pruneEnded(interrupted, played(), choice, FIRST_MARK, 500);
  });
};

async function pruneAll(repository: Repository): Promise<number> {
  let removed = 0;
  for (let passed = -1; passed < removed;) {
    passed = removed;
    removed += (await repository.pruneExpired()).count;
  }
  return removed;
}

/** A job that was cancelled for long enough to be over, with its key. */
async function over(): Promise<JobId> {
  const [jobId] = await ground.stage.enqueue(ground.queue, { idempotency: KEY });
  await ground.here.cancelMany(ground.asking([jobId ?? expect.unreachable()]));
  ground.stage.clock.advance(RETENTION_MS);
  return jobId ?? expect.unreachable();
}

/** Rows that are of a job, of whatever table. */
async function rowsOf(jobId: JobId): Promise<number> {
  const [row] = await ground.stage.sql<{ count: number }[]>`
    select (select count(*) from stint.job where id = ${jobId})::int + (select count(*) from stint.terminal where job = ${jobId})::int
      + (select count(*) from stint.job_event where job = ${jobId})::int + (select count(*) from stint.attempt where job = ${jobId})::int
      + (select count(*) from stint.dead_letter where job = ${jobId})::int + (select count(*) from stint.idem where job = ${jobId})::int as count`;
  return row?.count ?? 0;
}

describe('a job that is over', () => {
  it('and that is being retried keeps everything', async () => {
    const jobId = await over();
    const retry = await ground.openly(ground.asking([jobId]), retrying);
    expect(await pruneAll(ground.there)).toBe(0);
    await retry.commit();
    expect(await pruneAll(ground.there)).toBe(0);
    expect(await ground.stage.job(jobId)).toMatchObject({ state: 'READY', life: 2 });
    expect(await ground.stage.eventTypes(jobId)).toEqual(['enqueued', 'cancelled', 'retried']);
    const [again] = await ground.here.enqueueMany([ground.stage.item(ground.queue, { idempotency: KEY })]);
    expect(again).toMatchObject({ kind: 'duplicate', job: { jobId } });
  });

  it('and that is retried between the look and the lock keeps everything', async () => {
    const jobId = await over();
    const rows = await rowsOf(jobId);
    const prune = await openPrune(() => ground.there.retryMany(ground.asking([jobId])));
    expect(prune.outcome).toMatchObject({ removed: 0, blocked: false });
    await prune.commit();
    expect(await rowsOf(jobId)).toBe(rows + 1);
    expect(await ground.stage.job(jobId)).toMatchObject({ state: 'READY', life: 2 });
  });

  it('and whose queue is told to keep it longer between the look and the lock stays', async () => {
    const jobId = await over();
    const { namespace, name } = ground.queue;
    const longer = () => ({ settings: { ...DEFAULT_SETTINGS, retentionMs: 2 * RETENTION_MS } });
    const prune = await openPrune(() => ground.there.putQueue({ namespace, name, change: longer, actor: '', request: null }));
    expect(prune.outcome.removed).toBe(0);
    await prune.commit();
    expect(await pruneAll(ground.here)).toBe(0);
    ground.stage.clock.advance(RETENTION_MS);
    expect(await pruneAll(ground.here)).toBe(1);
    expect(await rowsOf(jobId)).toBe(0);
  });

  it('and whose retry is undone is removed by the next round', async () => {
    const jobId = await over();
    const retry = await ground.openly(ground.asking([jobId]), retrying);
    expect(await pruneAll(ground.there)).toBe(0);
    await retry.rollback();
    expect(await pruneAll(ground.there)).toBe(1);
    expect(await rowsOf(jobId)).toBe(0);
  });

  it('and that is being removed is not there for the retry that waited', async () => {
    const jobId = await over();
    const prune = await openPrune();
    expect(prune.outcome.removed).toBe(1);
    const retry = ground.there.retryMany(ground.asking([jobId]));
    await ground.stage.waitingForLocks(1);
    await prune.commit();
    expect(await retry).toMatchObject([{ kind: 'refused', refusal: { kind: 'job_not_found' } }]);
    expect(await rowsOf(jobId)).toBe(0);
  });

  it('and whose removal is undone is there, whole, for the retry that waited', async () => {
    const jobId = await over();
    const rows = await rowsOf(jobId);
    const prune = await openPrune();
    const retry = ground.there.retryMany(ground.asking([jobId]));
    await ground.stage.waitingForLocks(1);
    expect(await rowsOf(jobId)).toBe(rows);
    await prune.rollback();
    expect(await retry).toMatchObject([{ kind: 'applied', job: { state: 'READY', life: 2 } }]);
    expect(await rowsOf(jobId)).toBe(rows + 1);
  });

  it('and whose remover dies is there, whole', async () => {
    const jobId = await over();
    const rows = await rowsOf(jobId);
    const prune = await openPrune();
    const [killed] = await ground.stage.sql`
      select pg_terminate_backend(pid) as done from pg_stat_activity where datname = current_database() and application_name = 'an open transaction'`;
    expect(killed).toEqual({ done: true });
    await prune.commit().catch(() => undefined);
    expect(await rowsOf(jobId)).toBe(rows);
    expect(await pruneAll(ground.here)).toBe(1);
  });

  it('and whose key another locks is left for later', async () => {
    const jobId = await over();
    const stranger = await ground.stage.stranger((sql) => sql`select 1 from stint.idem where job = ${jobId} for update`);
    expect(await pruneAll(ground.here)).toBe(0);
    await stranger.commit();
    expect(await pruneAll(ground.here)).toBe(1);
    expect(await rowsOf(jobId)).toBe(0);
  });

  it('gives its key to the enqueue that waited', async () => {
    const jobId = await over();
    const prune = await openPrune();
    const enqueue = ground.there.enqueueMany([ground.stage.item(ground.queue, { idempotency: KEY })]);
    await ground.stage.waitingForLocks(1);
    await prune.commit();
    const [outcome] = await enqueue;
    expect(outcome).toMatchObject({ kind: 'enqueued' });
    expect(outcome?.kind === 'enqueued' && outcome.job.jobId).not.toBe(jobId);
  });
});

describe('many jobs that are over', () => {
  it.each(['retried', 'replayed'])('are removed or %s, each whole', async (how) => {
    const ids = await ground.failedMany();
    ground.stage.clock.advance(RETENTION_MS);
    const { namespace } = ground.queue;
    const retry = (batch: readonly JobId[]) => ground.there.retryMany(ground.asking(batch));
    const replay = async (batch: readonly JobId[]) => {
      const page = { namespace, queue: null, reason: '', request: null, next: null };
      const { answer } = await ground.there.replayPage({ ...page, ids: batch.map((jobId) => ({ jobId, life: 1 })) });
      return batch.map((_, index) => ({ kind: answer.ok && answer.value.results[index]?.result.ok === true ? 'applied' : 'refused' }));
    };
    // From the newest on, while they are removed from the oldest on.
    const [removed, outcomes] = await Promise.all([pruneAll(ground.here), fromBehind(ids, how === 'retried' ? retry : replay)]);
    const left = await pruneAll(ground.here);
    const alive = outcomes.filter(({ kind }) => kind === 'applied').length;
    expect(removed + left + alive).toBe(JOBS);
    const jobs = await ground.here.getJobs(ids);
    outcomes.forEach(({ kind }, index) => {
      if (kind === 'applied') expect(jobs[index]).toMatchObject({ state: 'READY', life: 2 });
      else expect(jobs[index]).toBeNull();
    });
    const living = ids.filter((_, index) => jobs[index] !== null);
    for (const types of await ground.soundHistories(living)) expect(types.at(-1)).toBe('retried');
    const rows = await Promise.all(ids.map(rowsOf));
    expect(new Set(rows)).toEqual(new Set([...(living.length > 0 ? [5] : []), ...(living.length < JOBS ? [0] : [])]));
  });

  it('are each removed once, by however many replicas', async () => {
    const ids = await ground.enqueueMany({});
    await inBatches(ids, (batch) => ground.here.cancelMany(ground.asking(batch)));
    ground.stage.clock.advance(RETENTION_MS);
    const removed = await Promise.all([pruneAll(ground.here), pruneAll(ground.there), pruneAll(ground.stage.repository)]);
    expect(removed.reduce((sum, count) => sum + count, await pruneAll(ground.here))).toBe(JOBS);
    expect(await ground.here.getJobs(ids)).toEqual(ids.map(() => null));
  });
});

describe('a job that is not over', () => {
  it('stays, also where its end has not committed', async () => {
    const [jobId] = await ground.enqueueMany({});
    const cancel = await ground.openly(ground.asking([jobId ?? expect.unreachable()]), cancelling);
    expect(await pruneAll(await ground.stage.another({ settings: PATIENT }))).toBe(0);
    await cancel.commit();
    ground.stage.clock.advance(RETENTION_MS);
    expect(await pruneAll(ground.here)).toBe(1);
  });
});
