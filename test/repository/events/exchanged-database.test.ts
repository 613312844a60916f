import { expect, it, onTestFinished } from 'vitest';
import { Database, type Run } from '../../../src/repository/database.ts';
import { openEpoch } from '../../../src/repository/epoch.ts';
import { createJournal } from '../../../src/repository/events/journal.ts';
import { Stage } from '../../engine/stage.ts';

it('a log whose database is exchanged before its queues are named is not told by the names of the other', async () => {
  const stage = await Stage.open();
  const pool: Database = new Database({
    url: stage.database.url,
    connections: 1,
    applicationName: 'reader',
    settings: 'hot',
    onUnprepared: () => openEpoch(pool.run),
  });
  onTestFinished(async () => {
    await pool.close();
    await stage.close();
  });
  const run: Run = async (statement, values) => {
    if (statement.name === 'queues-by-id') await stage.sql`update stint.epoch set system_identifier = system_identifier + 1`;
    return await pool.run(statement, values);
  };
  const before = await createJournal(pool.run).head();
  await stage.enqueue(await stage.queue(), {});
  await expect(createJournal(run).read(before, null)).rejects.toMatchObject({ kind: 'other_history' });
  await expect(createJournal(pool.run).read(before, null)).resolves.toMatchObject({ complete: true });
});
