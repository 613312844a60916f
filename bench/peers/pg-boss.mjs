// pg-boss, used as its documentation tells, as the bench asks for it: see settings.json.
import { setTimeout as pause } from 'node:timers/promises';
import { PgBoss } from 'pg-boss';
import { serveLoads } from '../../dist/bench/load-process.js';
import { PAYLOAD } from '../../dist/bench/payload.js';
import { LoadRun } from '../../dist/bench/load-run.js';
import { routeLoader } from '../../dist/bench/route-loader.js';
import { turnOf } from '../../dist/bench/route.js';
import { analyze, dropSchema } from './begin-anew.mjs';
import settings from './settings.json' with { type: 'json' };

/** Before a fetch looks again: two fetches beside each other can take each other's jobs. */
const LOOK_AGAIN_MS = 2;

const data = JSON.parse(PAYLOAD);
const { options } = settings['pg-boss'];

async function open(target, more = {}) {
  const boss = new PgBoss({ connectionString: target, ...options, ...more });
  boss.on('error', (error) => console.error(`pg-boss: ${error}`));
  return boss.start();
}

async function pgBossRoute({ target, queue, batch }) {
  const boss = await open(target);
  const fetch = () => boss.fetch(queue, { batchSize: batch });
  return {
    enqueue:
      batch === 1
        ? () => boss.send(queue, data)
        : () =>
            boss.insert(
              queue,
              Array.from({ length: batch }, () => ({ data })),
            ),
    claim: async (waitMs) => {
      const until = performance.now() + waitMs;
      let jobs = await fetch();
      for (; jobs.length === 0 && performance.now() < until; jobs = await fetch()) await pause(LOOK_AGAIN_MS);
      return jobs.map(({ id }) => id);
    },
    settle: async (ids) => {
      const { affected } = await boss.complete(queue, ids);
      if (affected !== ids.length) throw new Error('a job was not completed');
    },
    close: () => boss.stop({ graceful: false }),
  };
}

/** From the call of `send` until the handler of a worker that is woken by NOTIFY begins. */
async function startProbe({ target, queue }) {
  const boss = await open(target, { useListenNotify: true });
  // Only here: each `send` to such a queue notifies.
  await boss.updateQueue(queue, { notify: true });
  let begun = () => undefined;
  await boss.work(queue, () => begun());
  const claim = () => new Promise((resolve) => (begun = () => resolve(['job'])));
  const route = { claim, enqueue: () => boss.send(queue, data), settle: () => Promise.resolve() };
  const load = new LoadRun(1, turnOf('probe', route, 1));
  return { mark: () => load.mark(), stop: () => load.stop().finally(() => boss.stop({ graceful: false })) };
}

const loader = routeLoader(pgBossRoute);

serveLoads({
  start: (task) => (task.load === 'probe' ? startProbe(task) : loader.start(task)),
  layIn: async (request) => {
    const { target, queue } = request;
    await dropSchema(target, 'pgboss');
    const boss = await open(target);
    await boss.createQueue(queue);
    await boss.stop({ graceful: false });
    await loader.layIn(request);
    await analyze(target);
  },
});
