import { DEFAULT_SETTINGS } from '../../../src/domain/queue.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobId } from '../../../src/domain/job.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { Engine } from '../../../src/engine/engine.ts';
import type { Bulk } from '../../../src/engine/jobs/bulk.ts';
import type { BulkPage, JobFilter, Repository } from '../../../src/engine/ports/repository.ts';
import type { Result } from '../../../src/domain/error.ts';
import { engineOn, Gate } from '../engine-on.ts';
import { Stage, tokenOf } from '../stage.ts';

let stage: Stage;
let engine: Engine;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
  engine = engineOn(stage.repository);
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

const bulk = ({ filter, ...told }: Partial<Omit<Bulk, 'filter'>> & { filter?: Partial<JobFilter> } = {}): Bulk => ({
  filter: {
    namespace: queue.namespace,
    queue: queue.name,
    type: null,
    states: [],
    labels: {},
    createdFrom: null,
    createdBefore: null,
    ...filter,
  },
  reason: '',
  dryRun: false,
  pageSize: 100,
  after: null,
  request: null,
  ...told,
});

const toldOf = <Told>(page: Result<BulkPage<Told>>): Record<string, unknown> =>
  page.ok
    ? Object.fromEntries(page.value.results.map(({ jobId, result }) => [jobId, result.ok ? result.value : result.refusal.kind]))
    : { refused: page.refusal.kind };

async function enqueue(count: number): Promise<readonly [JobId, JobId, ...JobId[]]> {
  const [one, two, ...more] = await stage.enqueue(queue, ...Array.from({ length: count }, () => ({})));
  if (one === undefined || two === undefined) throw new Error('a test needs two jobs');
  return [one, two, ...more];
}

async function acked(): Promise<void> {
  const [held] = await stage.claim(queue);
  if (held === undefined) throw new Error('nothing to claim');
  await stage.repository.ackMany([{ token: tokenOf(held), result: new Uint8Array(), contentType: '' }]);
}

describe('a bulk call', () => {
  it('is about what has not ended, or about what can begin a new life, where no state is named', async () => {
    const [done, held, ...waiting] = await enqueue(4);
    await acked();
    await stage.claim(queue);
    expect(toldOf(await engine.jobs.retryJobs(bulk()))).toEqual({});
    expect(toldOf(await engine.jobs.cancelJobs(bulk()))).toEqual({
      [held]: 'CANCEL_REQUESTED',
      ...Object.fromEntries(waiting.map((jobId) => [jobId, 'CANCELLED'])),
    });
    expect(toldOf(await engine.jobs.cancelJobs(bulk({ filter: { states: ['SUCCEEDED'] } })))).toEqual({ [done]: 'ALREADY_TERMINAL' });
    expect(toldOf(await engine.jobs.retryJobs(bulk()))).toEqual(Object.fromEntries(waiting.map((jobId) => [jobId, 2])));
  });

  it('judges a job that has moved since it was found as it stands', async () => {
    const [first, second] = await enqueue(2);
    const moving: Repository = {
      ...stage.repository,
      listJobs: async (...query) => {
        const page = await stage.repository.listJobs(...query);
        await acked();
        return page;
      },
    };
    expect(toldOf(await engineOn(moving).jobs.cancelJobs(bulk()))).toEqual({ [first]: 'ALREADY_TERMINAL', [second]: 'CANCELLED' });
    expect((await stage.job(first)).state).toBe('SUCCEEDED');
  });

  it('foretells in a dry run what then comes, and writes nothing', async () => {
    const [done, held, ...waiting] = await enqueue(4);
    await acked();
    await stage.claim(queue);
    const request = { requestId: 'one', digest: Buffer.from('d') };
    const filter = { states: ['SUCCEEDED', 'RUNNING', 'READY'] as const };
    const dry = await engine.jobs.cancelJobs(bulk({ filter, request, dryRun: true }));
    expect((await stage.job(held)).asked).toBeNull();
    expect((await stage.repository.getJobs(waiting)).map((job) => job?.state)).toEqual(['READY', 'READY']);
    expect(await engine.jobs.cancelJobs(bulk({ filter, request }))).toEqual(dry);
    const ended = { states: ['SUCCEEDED', 'CANCELLED'] as const };
    const dryRetry = await engine.jobs.retryJobs(bulk({ filter: ended, request, dryRun: true }));
    expect((await stage.repository.getJobs(waiting)).map((job) => job?.life)).toEqual([1, 1]);
    expect(await engine.jobs.retryJobs(bulk({ filter: ended, request }))).toEqual(dryRetry);
    expect(toldOf(dryRetry)).toMatchObject({ [done]: 'invalid_transition' });
  });

  it('is answered the same by whichever replica, also where two are asked at once', async () => {
    await enqueue(40);
    const other = engineOn(await stage.another());
    const request = { requestId: 'both', digest: Buffer.from('d') };
    const [one, two] = await Promise.all([
      engine.jobs.cancelJobs(bulk({ request, pageSize: 10 })),
      other.jobs.cancelJobs(bulk({ request, pageSize: 10 })),
    ]);
    expect(one).toEqual(two);
    expect(Object.values(toldOf(one))).toEqual(Array.from({ length: 10 }, () => 'CANCELLED'));
    const { jobs } = await stage.repository.listJobs(bulk({ filter: { states: ['CANCELLED'] } }).filter, 100, null);
    expect(jobs).toHaveLength(10);
  });

  it('wakes those who wait for work that it brings', async () => {
    const [first, second] = await enqueue(2);
    await engine.jobs.cancelJobs(bulk());
    const looked = new Gate();
    const looking: Repository = {
      ...stage.repository,
      claim: async (...query) => {
        const found = await stage.repository.claim(...query);
        looked.open();
        return found;
      },
    };
    const here = engineOn(looking);
    // Shorter than the time after which a parked claim looks again by itself.
    const command = { namespace: queue.namespace, workerId: 'w', queues: [queue.name], maxJobs: 2, waitMs: 4_000 };
    const waiting = here.workers.claim(
      { ...command, leaseDurationMs: null, startOnClaim: true, requestId: null },
      new AbortController().signal,
    );
    await looked.opened;
    await here.jobs.retryJobs(bulk());
    expect((await waiting).jobs.map(({ job }) => job.jobId)).toEqual([first, second]);
  });

  it('tells upkeep by when a holder must have stopped', async () => {
    await stage.held(queue);
    const changed: unknown[] = [];
    const watching: Repository = {
      ...stage.repository,
      cancelPage: async (page) => {
        const operated = await stage.repository.cancelPage(page);
        changed.push(...operated.changed.map(({ asked, leaseExpiresAt }) => [asked?.cancelDeadline, leaseExpiresAt]));
        return operated;
      },
    };
    await engineOn(watching).jobs.cancelJobs(bulk());
    const deadline = stage.now + DEFAULT_SETTINGS.cancellationBudgetMs * 1_000;
    expect(changed).toEqual([[deadline, deadline]]);
  });
});
