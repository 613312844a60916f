// graphile-worker, tuned as its documentation tells, as the bench asks for it: see settings.json.
import { EventEmitter } from 'node:events';
import { LoadRun } from '../../dist/bench/load-run.js';
import { serveLoads } from '../../dist/bench/load-process.js';
import { PAYLOAD } from '../../dist/bench/payload.js';
import { turnOf } from '../../dist/bench/route.js';
import { analyze, dropSchema } from './begin-anew.mjs';
import settings from './settings.json' with { type: 'json' };

// As its own measurements do; the packages read it when they are loaded.
process.env.NO_LOG_SUCCESS = '1';
const { makeWorkerUtils, run, runMigrations } = await import('graphile-worker');

const { enqueue, 'one by one': alone, 'in batches': batched, jobsAhead } = settings.graphile;
const payload = JSON.parse(PAYLOAD);

const presetOf = (target, worker) => ({ preset: { worker: { connectionString: target, ...worker } } });

/** The name of the task is the queue: each measurement has its own. */
function adderOf(utils, queue, batch) {
  if (batch === 1) return () => utils.addJob(queue, payload);
  return () => utils.addJobs(Array.from({ length: batch }, () => ({ identifier: queue, payload })));
}

async function layIn({ target, queue, batch, calls }) {
  await dropSchema(target, 'graphile_worker');
  await runMigrations(presetOf(target, enqueue));
  const utils = await makeWorkerUtils(presetOf(target, enqueue));
  const add = adderOf(utils, queue, batch);
  for (let call = 0; call < calls; call += 1) await add();
  await utils.release();
  await analyze(target);
}

/** A worker whose task does nothing but count. Its completions are on their way then: as many at the second mark as at the first. */
async function startWorker({ target, queue }, worker, task) {
  const counts = { jobs: 0, ranDry: false };
  const events = new EventEmitter();
  events.on('worker:getJob:empty', () => (counts.ranDry = true));
  events.on('localQueue:getJobs:complete', ({ jobs }) => (counts.ranDry ||= jobs.length === 0));
  const counted = () => {
    counts.jobs += 1;
    task?.();
  };
  const runner = await run({
    ...presetOf(target, worker),
    events,
    noHandleSignals: true,
    parsedCronItems: [],
    taskList: { [queue]: counted },
  });
  return { counts, runner };
}

async function startEnqueue({ target, queue, batch, callers }) {
  const utils = await makeWorkerUtils(presetOf(target, enqueue));
  const load = new LoadRun(callers, turnOf('enqueue', { enqueue: adderOf(utils, queue, batch) }, batch));
  return { mark: () => load.mark(), stop: () => load.stop().finally(() => utils.release()) };
}

async function startDrain(task) {
  const worker = task.batch === 1 ? { ...alone, concurrentJobs: task.callers } : batched;
  const { counts, runner } = await startWorker(task, worker);
  return {
    mark: () => ({ atMs: performance.now(), ...counts }),
    // It has no turns: a worker takes its next job while the end of the one before is on its way.
    stop: () => runner.stop().then(() => []),
  };
}

/** Jobs are added in batches, and workers take them as they come; never more than so many are ahead of the workers of this process. */
async function startLifecycle(task) {
  const waiting = [];
  const { counts, runner } = await startWorker(task, batched, () => {
    if (waiting.length > 0 && added - counts.jobs < jobsAhead) waiting.shift()();
  });
  const utils = await makeWorkerUtils(presetOf(task.target, enqueue));
  const add = adderOf(utils, task.queue, task.batch);
  let added = 0;
  const turn = async () => {
    if (added - counts.jobs >= jobsAhead) await new Promise((resolve) => waiting.push(resolve));
    added += task.batch;
    await add();
    return { jobs: task.batch, tookMs: 0 };
  };
  const producers = new LoadRun(task.callers, turn);
  return {
    mark: () => ({ atMs: performance.now(), jobs: counts.jobs, ranDry: false }),
    stop: async () => {
      const stopped = producers.stop();
      for (const resume of waiting.splice(0)) resume();
      await stopped.finally(async () => {
        await utils.release();
        await runner.stop();
      });
      return [];
    },
  };
}

/** From the call of `addJob` until the task begins, on a worker of the default settings. */
async function startProbe(task) {
  let begun = () => undefined;
  const { runner } = await startWorker(task, {}, () => begun());
  const claim = () => new Promise((resolve) => (begun = () => resolve(['job'])));
  const route = { claim, enqueue: () => runner.addJob(task.queue, payload), settle: () => Promise.resolve() };
  const load = new LoadRun(1, turnOf('probe', route, 1));
  return { mark: () => load.mark(), stop: () => load.stop().finally(() => runner.stop()) };
}

const starters = { enqueue: startEnqueue, 'claim-settle': startDrain, lifecycle: startLifecycle, probe: startProbe };

serveLoads({ layIn, start: (task) => starters[task.load](task) });
