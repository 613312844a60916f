import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cell } from '../../bench/cells.ts';
import { grpcRoute } from '../../bench/grpc-route.ts';
import { loadedSpots } from '../../bench/growth/series.ts';
import type { Task } from '../../bench/messages.ts';
import { tasksOf } from '../../bench/placement.ts';
import { routeLoader } from '../../bench/route-loader.ts';
import { JobView } from '../../gen/stint/v1/job_service.ts';
import { connect, type Stint } from '../contract/stint.ts';
import { startService, type TestService } from '../support/service.ts';

let replicas: readonly TestService[];
let stint: Stint;

beforeAll(async () => {
  const first = await startService();
  replicas = [await startService({ database: first.database }), first];
  stint = connect(first.address);
});
afterAll(async () => {
  stint.close();
  for (const replica of replicas) await replica.stop();
});

/** All callers in this process, on both replicas. */
function taskOf(cell: Cell, queue: string): Task {
  const [variant = 'service'] = cell.variants;
  const [task] = tasksOf(cell, variant, { targets: replicas.map(({ address }) => address), queue }, 1);
  return task ?? expect.unreachable();
}

/** Runs the task until every caller has ended some turns. Gives how many jobs it did. */
async function run(task: Task, atLeast: number): Promise<number> {
  const running = await routeLoader(grpcRoute).start(task);
  let mark = await running.mark();
  while (mark.jobs < atLeast && !mark.ranDry) {
    await new Promise((resolve) => setImmediate(resolve));
    mark = await running.mark();
  }
  await running.stop();
  return (await running.mark()).jobs;
}

const payloads = loadedSpots('payload').map(({ at, cell }) => [at, cell] as const);

describe('the loads of the growth', () => {
  it.each(payloads)('carry payloads of %i bytes through whole lives, in full batches', async (bytes, cell) => {
    const queue = `payload-${bytes}`;
    const { batch } = cell;
    const task = taskOf({ ...cell, callers: 1 }, queue);
    expect((await run(task, batch)) % batch).toBe(0);
    const { jobs } = await stint.listJobs({ queue, pageSize: 1 });
    const { payload } = await stint.getJob({ jobId: jobs[0]?.jobId ?? '', view: JobView.FULL });
    expect(payload?.length).toBe(bytes);
  });

  it('leave nothing in a queue of theirs, whosever share it is', async () => {
    const [, ten] = loadedSpots('queues');
    const cell = { ...(ten?.cell ?? expect.unreachable()), batch: 20, callers: 4 };
    expect(await run(taskOf(cell, 'shared'), 400)).toBeGreaterThanOrEqual(400);
    const { queues } = await stint.listQueues({});
    const own = queues.filter(({ name }) => name.startsWith('shared-'));
    expect(own).toHaveLength(10);
    for (const { name } of own) expect((await stint.peekQueue({ queue: name })).jobs).toEqual([]);
  });

  it('drain a backlog by workers with a session each, every job once', async () => {
    const [, ten] = loadedSpots('workers');
    const cell = ten?.cell ?? expect.unreachable();
    const task = taskOf(cell, 'drained');
    const { places, ...place } = task;
    expect(places).toHaveLength(10);
    const filler = await grpcRoute({ ...place, batch: 500, through: 'claim' });
    await filler.enqueue();
    await filler.close();
    expect(await run(task, 500)).toBe(500);
  });
});
