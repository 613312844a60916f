import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Queue } from '../../../src/domain/queue.ts';
import type { Repository } from '../../../src/engine/ports/repository.ts';
import { PATIENT, Stage } from '../../engine/stage.ts';
import { enter } from '../../support/sql-door.ts';

let stage: Stage;
let patient: Repository;
beforeAll(async () => {
  stage = await Stage.open();
  patient = await stage.another({ settings: PATIENT });
});
afterAll(() => stage.close());

type Draw = (queue: Queue) => Promise<() => Promise<unknown>>;

/** Whoever makes a job READY in order; what comes before is done at once. */
const draws: Readonly<Record<string, Draw>> = {
  'an enqueue': async (queue) => () => patient.enqueueMany([stage.item(queue)]),
  'an enqueue by SQL': async (queue) => () =>
    stage.sql.begin((sql) => enter(sql, { namespace: queue.namespace, queue: queue.name, payload: '\\x00' })),
  'a promotion': async (queue) => {
    await stage.enqueue(queue, { runAt: stage.now + 1_000_000 });
    stage.clock.advance(2_000);
    return () => patient.promoteDue();
  },
  'a retry': async (queue) => {
    const [jobId] = await stage.enqueue(queue, {});
    if (jobId === undefined) throw new Error('nothing was enqueued');
    const item = { namespace: queue.namespace, jobId, request: null, reason: '' };
    await stage.repository.cancelMany([item]);
    return () => patient.retryMany([item]);
  },
};

it.each(Object.entries(draws))('%s has its transaction id before it draws a position', async (_, prepare) => {
  const draw = await prepare(await stage.queue());
  const stranger = await stage.stranger((sql) => sql`alter sequence stint.job_ord owned by none`);
  const drawn = draw();
  await stage.waitingForLocks(1);
  const waiting = await stage.sql`
    select backend_xid is not null as has_id from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
  await stranger.rollback();
  await drawn;
  expect([...waiting]).toEqual([{ has_id: true }]);
});
