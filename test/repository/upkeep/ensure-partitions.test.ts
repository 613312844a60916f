import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseJobId } from '../../../src/domain/job.ts';
import { Stage } from '../../engine/stage.ts';

const DAY_MS = 86_400_000;
const PARENTS = ['attempt', 'checkpoint', 'custom_event', 'job', 'job_event', 'journal', 'terminal'];

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
});
afterAll(() => stage.close());

async function partitions(): Promise<readonly string[]> {
  const rows = await stage.sql<{ name: string }[]>`
    select inhrelid::regclass::text as name from pg_inherits join pg_class on pg_class.oid = inhrelid where relkind = 'r' order by 1`;
  return rows.map(({ name }) => name.replace('stint.', ''));
}

/** The names that the days of [from, to] call for. */
function expected(fromMs: number, toMs: number): string[] {
  const days: string[] = [];
  for (let day = fromMs - (fromMs % DAY_MS); day <= toMs; day += DAY_MS)
    days.push(new Date(day).toISOString().slice(0, 10).replaceAll('-', ''));
  return PARENTS.flatMap((parent) => days.map((day) => `${parent}_${day}`)).sort();
}

const covered = () => expected(stage.now / 1_000 - 25 * 3_600_000, stage.now / 1_000 + 72 * 3_600_000);

describe('partitions', () => {
  it('reach from 25 hours ago to three days ahead', async () => {
    expect([...(await partitions())].sort()).toEqual(covered());
  });

  it('are made once, however often they are asked for', async () => {
    const before = await partitions();
    await stage.repository.ensurePartitions();
    await stage.repository.ensurePartitions();
    expect(await partitions()).toEqual(before);
  });

  it('are made by many replicas at once, beside those who enqueue', async () => {
    const queue = await stage.queue();
    stage.clock.advance(20 * DAY_MS);
    const replicas = await Promise.all(Array.from({ length: 4 }, () => stage.another()));
    const enqueuing = Array.from({ length: 20 }, () => stage.enqueue(queue, {}).catch(() => 'no partition yet'));
    await Promise.all([...replicas.flatMap((replica) => [replica.ensurePartitions(), replica.ensurePartitions()]), ...enqueuing]);
    expect(await partitions()).toEqual(expect.arrayContaining(covered()));
    expect(new Set(await partitions()).size).toBe((await partitions()).length);
  });

  it('take ids up to 24 hours before and after the database time', async () => {
    const queue = await stage.queue();
    const ids = [-DAY_MS, -1, 0, DAY_MS].map((offset) => {
      const at = (stage.clock.now().getTime() + offset).toString(16).padStart(12, '0');
      return parseJobId(`${at.slice(0, 8)}-${at.slice(8)}-7000-8000-00000000000${offset < 0 ? 0 : 1}`);
    });
    expect(await stage.enqueue(queue, ...ids.map((jobId) => ({ jobId })))).toEqual(ids);
  });
});
