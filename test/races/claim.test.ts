/** Many who claim the same jobs. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobId } from '../../src/domain/job.ts';
import type { Queue } from '../../src/domain/queue.ts';
import { DATABASE_CLOCK } from '../../src/engine/ports/clock.ts';
import type { ClaimedJob, Repository } from '../../src/engine/ports/repository.ts';
import { claim } from '../../src/repository/workers/claim.ts';
import { engineOn } from '../engine/engine-on.ts';
import { idsOf, PATIENT, slot, Stage, tokenOf } from '../engine/stage.ts';
import { openTransaction } from './open-transaction.ts';

const JOBS = 3_000;

let stage: Stage;
let queue: Queue;
let replicas: readonly Repository[];
beforeAll(async () => {
  stage = await Stage.open();
  replicas = [
    await stage.another({ clock: DATABASE_CLOCK, settings: PATIENT }),
    await stage.another({ clock: DATABASE_CLOCK, settings: PATIENT }),
  ];
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

async function enqueueMany(count: number): Promise<readonly JobId[]> {
  const ids: JobId[] = [];
  while (ids.length < count)
    ids.push(...(await stage.enqueue(queue, ...Array.from({ length: Math.min(500, count - ids.length) }, () => ({})))));
  return ids;
}

/** Eight claimers, four on each replica, with batches of their own sizes, until nothing is left. */
function everybody(work: (repository: Repository, claimer: number) => Promise<void>): Promise<void[]> {
  return Promise.all(replicas.flatMap((repository, index) => [0, 1, 2, 3].map((claimer) => work(repository, index * 4 + claimer))));
}

describe('eight claimers on two replicas', () => {
  it('get every job once: none twice, none never', async () => {
    const ids = await enqueueMany(JOBS);
    const claimed: JobId[] = [];
    await everybody(async (repository, claimer) => {
      while (claimed.length < JOBS) {
        const {
          jobs: [jobs],
        } = await repository.claim([queue], [slot({ workerId: `w${claimer}`, maxJobs: 5 + claimer * 20 })]);
        claimed.push(...idsOf(jobs ?? []));
      }
    });
    expect(claimed).toHaveLength(JOBS);
    expect(new Set(claimed)).toEqual(new Set(ids));
    const [row] = await stage.sql`select count(*)::int as leases, count(distinct fence)::int as fences, max(attempt) as attempt
      from stint.lease where queue_id = ${queue.id}`;
    expect(row).toMatchObject({ leases: JOBS, attempt: 1 });
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('each get theirs in order', async () => {
    const ids = await enqueueMany(JOBS);
    const place = new Map(ids.map((id, index) => [id, index]));
    let left = JOBS;
    await everybody(async (repository, claimer) => {
      let last = -1;
      while (left > 0) {
        const {
          jobs: [jobs],
        } = await repository.claim([queue], [slot({ workerId: `w${claimer}`, maxJobs: 7 })]);
        for (const id of idsOf(jobs ?? [])) {
          const at = place.get(id) ?? -1;
          expect(at).toBeGreaterThan(last);
          last = at;
          left -= 1;
        }
      }
    });
  });

  it('from overlapping queues, with settlements and releases in between, still end every job once', async () => {
    const other = await stage.queue({ name: 'other', namespace: queue.namespace });
    const [here, there] = [
      await enqueueMany(600),
      await stage.enqueue(other, ...Array.from({ length: 600 }, (_, index) => ({ priority: index % 3 }))),
    ];
    let ended = 0;
    await everybody(async (repository, claimer) => {
      const queues = [[queue, other], [queue], [other], [other, queue]][claimer % 4] ?? [];
      while (ended < 1_200) {
        const {
          jobs: [jobs],
        } = await repository.claim(queues, [slot({ workerId: `w${claimer}`, maxJobs: 40 })]);
        // The first time round every third job is given back.
        const returned = (jobs ?? []).filter((one, index) => index % 3 === 0 && one.job.lastSequence <= 3);
        const done = (jobs ?? []).filter((one) => !returned.includes(one));
        await repository.releaseMany(returned.map((one) => ({ token: tokenOf(one), delayMs: 0 })));
        const outcomes = await repository.ackMany(done.map((one) => ({ token: tokenOf(one), result: new Uint8Array(), contentType: '' })));
        expect(outcomes.every(({ kind }) => kind === 'applied')).toBe(true);
        ended += outcomes.length;
      }
    });
    const jobs = await stage.repository.getJobs([...here, ...there]);
    expect(new Set(jobs.map((job) => `${job?.state} ${job?.attempt}`))).toEqual(new Set(['SUCCEEDED 1']));
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });
});

describe('a claim that meets another one', () => {
  it('does not wait for it: it takes what that one has left', async () => {
    const ids = await enqueueMany(5);
    const open = await openTransaction(stage.database.url, (run) => claim(run, null, [queue], [slot({ maxJobs: 2 })]));
    expect(open.outcome.jobs.flatMap(idsOf)).toEqual(ids.slice(0, 2));
    await expect(stage.claim(queue, { maxJobs: 2 }).then(idsOf)).resolves.toEqual(ids.slice(2, 4));
    await open.rollback();
    expect(idsOf(await stage.claim(queue, { maxJobs: 9 }))).toEqual([ids[0], ids[1], ids[4]]);
  });
});

describe('a claim that is full', () => {
  it('hides nothing from another one: what does not fit is free at once', async () => {
    const ids = await stage.enqueue(queue, ...Array.from({ length: 5 }, () => ({ payload: Buffer.alloc(1024 * 1024) })));
    const open = await openTransaction(stage.database.url, (run) => claim(run, null, [queue], [slot({ maxJobs: 5 })]));
    expect(open.outcome.jobs.flatMap(idsOf)).toEqual(ids.slice(0, 2));
    expect(idsOf(await stage.claim(queue, { maxJobs: 5 }))).toEqual(ids.slice(2, 4));
    await open.commit();
  });
});

describe('callers who go at any moment', () => {
  it('take no job with them: each was answered with it, or is READY and unspent', async () => {
    const ids = await enqueueMany(300);
    const engine = engineOn(stage.repository);
    const answered: ClaimedJob[] = [];
    const callers = Array.from({ length: 400 }, async (_, caller) => {
      const gone = new AbortController();
      const claimed = engine.workers.claim(
        {
          namespace: queue.namespace,
          workerId: `w${caller}`,
          queues: ['q'],
          maxJobs: 3,
          waitMs: 1,
          leaseDurationMs: null,
          startOnClaim: true,
          requestId: caller % 2 === 0 ? `r${caller}` : null,
        },
        gone.signal,
      );
      for (let turn = 0; turn < caller % 40; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      if (caller % 4 !== 0) gone.abort();
      answered.push(...(await claimed).jobs);
    });
    await Promise.all(callers);
    await engine.drain();
    const jobs = new Map((await stage.repository.getJobs(ids)).map((job) => [job?.jobId, job]));
    const running = ids.filter((id) => jobs.get(id)?.state === 'RUNNING');
    expect(new Set(running)).toEqual(new Set(idsOf(answered)));
    expect(ids.filter((id) => jobs.get(id)?.state === 'READY' && jobs.get(id)?.attempt === 0)).toHaveLength(300 - running.length);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });
});
