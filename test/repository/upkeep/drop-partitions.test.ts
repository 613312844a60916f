/** Partitions leave when nothing is in them, in a moment or not at all. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { DEFAULT_SETTINGS, type Queue } from '../../../src/domain/queue.ts';
import { PATIENT, Stage, tokenOf } from '../../engine/stage.ts';

const DAY_MS = 86_400_000;
const OF_JOBS = ['attempt', 'checkpoint', 'custom_event', 'job', 'job_event', 'terminal'];

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
  const { namespace, name } = queue;
  const change = () => ({ settings: { ...DEFAULT_SETTINGS, retentionMs: DAY_MS } });
  await stage.repository.putQueue({ namespace, name, change, actor: '', request: null });
  await stage.repository.ensurePartitions();
});
afterAll(() => stage.close());

const today = () => stage.clock.now().toISOString().slice(0, 10).replaceAll('-', '');

/** The tables that have a partition of a day. */
async function tablesOf(day: string): Promise<readonly string[]> {
  const rows = await stage.sql<{ name: string }[]>`
    select i.inhparent::regclass::text as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where c.relkind = 'r' and c.relname like ${`%${day}`}`;
  return rows.map(({ name }) => name.replace('stint.', '')).toSorted();
}

async function succeeded(): Promise<void> {
  const held = await stage.held(queue);
  await stage.repository.ackMany([{ token: tokenOf(held), result: Buffer.alloc(0), contentType: '' }]);
}

async function pass(days: number): Promise<void> {
  stage.clock.advance(days * DAY_MS);
  stage.mint.setDatabaseTime(stage.now);
  await stage.repository.ensurePartitions();
  await stage.repository.pruneExpired();
}

it('a day of which no job is left leaves, the journal keeps it', async () => {
  const day = today();
  await succeeded();
  expect(await tablesOf(day)).toEqual([...OF_JOBS, 'journal'].toSorted());
  await pass(2);
  await stage.repository.dropPartitions();
  expect(await tablesOf(day)).toEqual([...OF_JOBS, 'journal'].toSorted());
  await pass(2);
  expect(await stage.repository.dropPartitions()).toBeGreaterThanOrEqual(5);
  expect(await tablesOf(day)).toEqual(['journal']);
  await pass(6);
  expect(await stage.repository.dropPartitions()).toBeGreaterThan(0);
  expect(await tablesOf(day)).toEqual([]);
  expect(await stage.violations(queue.namespace)).toEqual([]);
});

it('a day of which a job lives stays, until that one is over too', async () => {
  const day = today();
  await succeeded();
  const held = await stage.held(queue, { claim: { leaseDurationMs: 20 * DAY_MS } });
  await pass(9);
  await stage.repository.dropPartitions();
  expect(await tablesOf(day)).toEqual(OF_JOBS);
  expect(await stage.job(held.job.jobId)).toMatchObject({ state: 'RUNNING' });
  await stage.repository.ackMany([{ token: tokenOf(held), result: Buffer.alloc(0), contentType: '' }]);
  await pass(1);
  await stage.repository.dropPartitions();
  expect(await tablesOf(day)).toEqual([]);
});

it('nobody waits for long: a partition whose table is in use is left for the next round', async () => {
  const day = today();
  await succeeded();
  await pass(10);
  const stranger = await stage.stranger((sql) => sql`select count(*) from stint.attempt where shard = 0`);
  const writer = await stage.stranger((sql) => sql`lock table only stint.journal in row exclusive mode`);
  expect(await stage.repository.dropPartitions()).toBe(0);
  expect(await tablesOf(day)).toEqual([...OF_JOBS, 'journal'].toSorted());
  await succeeded();
  await stranger.commit();
  await writer.commit();
  await stage.repository.dropPartitions();
  expect(await tablesOf(day)).toEqual([]);
});

it('many replicas drop a partition once, beside those who enqueue', async () => {
  const day = today();
  await succeeded();
  await pass(10);
  const replicas = await Promise.all(Array.from({ length: 4 }, () => stage.another({ settings: PATIENT })));
  const enqueuing = Array.from({ length: 20 }, () => stage.enqueue(queue, {}));
  await Promise.all([...replicas.map((replica) => replica.dropPartitions()), ...enqueuing]);
  await stage.repository.dropPartitions();
  expect(await tablesOf(day)).toEqual([]);
});
