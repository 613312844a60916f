import { afterAll, beforeAll, expect, it } from 'vitest';
import { Database, type Run } from '../../../src/repository/database.ts';
import { operate } from '../../../src/repository/jobs/operate.ts';
import { retrying } from '../../../src/repository/jobs/retry.ts';
import { Stage, tokenOf } from '../../engine/stage.ts';
import { countsOf, NONE, put } from '../../support/bounds.ts';

let stage: Stage;
let database: Database;
beforeAll(async () => {
  stage = await Stage.open();
  database = new Database({ url: stage.database.url, connections: 1, applicationName: 'test', settings: 'hot' });
});
afterAll(async () => {
  await database.close();
  await stage.close();
});

it('a retry that looked for gates before one was opened looks again, and locks it', async () => {
  const queue = await stage.queue();
  const held = await stage.held(queue);
  const failure = { code: 'no', message: '', details: new Uint8Array(), kind: 'TERMINAL' as const };
  await stage.repository.failMany([{ token: tokenOf(held), failure, retryAfterMs: null, jitterFactor: 1 }]);
  await stage.enqueue(queue, {});
  let opened = false;
  const sent: string[] = [];
  const opening = (run: Run): Run => {
    return async (statement, values) => {
      sent.push(statement.name);
      if (statement.name === 'retry' && !opened) {
        opened = true;
        await put(stage.repository, queue, { maxQueued: 1 });
      }
      return run(statement, values);
    };
  };
  const transaction: Database['transaction'] = (work) => database.transaction((run) => work(opening(run)));
  const item = { namespace: queue.namespace, jobId: held.job.jobId, reason: '', request: null };
  const now = stage.clock.now().toISOString();
  expect(await operate({ transaction }, now, [item], retrying)).toMatchObject([
    { kind: 'refused', refusal: { kind: 'queue_saturated', depth: 1, limit: 1 } },
  ]);
  // What it goes by it has locked: of two who would take the last place the second sees it taken.
  expect(sent.filter((name) => name === 'lock-gates' || name === 'retry')).toEqual(['retry', 'lock-gates', 'retry']);
  expect(await countsOf(stage.sql, queue)).toEqual({ counted: { ...NONE, ready: 1 }, there: { ...NONE, ready: 1 } });
});
