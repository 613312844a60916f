/** What is no statement of the request path keeps its plans too: they are made while a database is new, and serve when it is not. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { PLAIN_SETTINGS } from '../../src/repository/session.ts';
import { checkInvariants } from '../../src/repository/queues/check-invariants.ts';
import { replayedJobs, retainedJobs } from '../../src/repository/queues/verify-replay.ts';
import { Stage } from '../engine/stage.ts';
import { explaining, type Explaining } from '../support/explain.ts';

let stage: Stage;
let explained: Explaining;
beforeAll(async () => {
  stage = await Stage.open();
  explained = await explaining(stage.database.url, PLAIN_SETTINGS);
});
afterAll(async () => {
  await explained.close();
  await stage.close();
});

it('checks read no table from end to end, also where it has a handful of rows', async () => {
  const { run, plans } = explained;
  const queue = await stage.queue();
  const [jobId = expect.unreachable()] = await stage.enqueue(queue, {});
  const { namespace } = queue;
  await stage.repository.updateMany([{ namespace, jobId, change: { priority: 3 }, request: null }]);
  await stage.held(queue);
  await stage.enqueue(queue, {});
  await stage.sql`vacuum analyze`;
  for (let page = await checkInvariants(run, namespace, 100, null); page.next !== null;) {
    page = await checkInvariants(run, namespace, 100, page.next);
  }
  await retainedJobs(run, queue, 100, null);
  await replayedJobs(run, [jobId], 100);
  const scanned = [...plans].filter(([, plan]) => plan.scanned.length > 0).map(([name, plan]) => `${name}: ${plan.scanned.join(', ')}`);
  expect(plans.size).toBeGreaterThan(5);
  expect(scanned).toEqual([]);
});
