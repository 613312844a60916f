/** Each promise broken by hand, one at a time: the check finds it, and names the job. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobId } from '../../../src/domain/job.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import { idsOf, Stage, tokenOf } from '../../engine/stage.ts';

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

const readyJob = async () => (await stage.enqueue(queue, {}))[0] ?? stage.mint.mint();
const heldJob = async () => (await stage.held(queue)).job.jobId;
/** In the hands of its second holder. */
const heldAgain = async () => {
  const held = await stage.held(queue);
  await stage.repository.releaseMany([{ token: tokenOf(held), delayMs: 0 }]);
  await stage.claim(queue);
  return held.job.jobId;
};
const waitingJob = async () => {
  const held = await stage.held(queue);
  await stage.repository.releaseMany([{ token: tokenOf(held), delayMs: 60_000 }]);
  return held.job.jobId;
};
const endedJob = async () => {
  const held = await stage.held(queue);
  await stage.repository.ackMany([{ token: tokenOf(held), result: new Uint8Array(), contentType: '' }]);
  return held.job.jobId;
};

interface Breakage {
  readonly what: string;
  readonly invariant: string;
  readonly job: () => Promise<JobId>;
  readonly broken: (id: JobId) => PromiseLike<unknown>;
}

const deferred = (
  id: JobId,
) => stage.sql`insert into stint.deferred (shard, job, due_at, kind, queue_id, rank, attempt, fence, life, seq, releases, size, checkpointed)
  values (0, ${id}, now(), 1, ${queue.id}, 0, 0, 0, 1, 1, 0, 0, false)`;

const breakages: readonly Breakage[] = [
  { what: 'a job without a token', invariant: 'I4', job: readyJob, broken: (id) => stage.sql`delete from stint.ready where job = ${id}` },
  { what: 'a job with two tokens', invariant: 'I4', job: readyJob, broken: deferred },
  { what: 'an ended job that is held', invariant: 'I4', job: endedJob, broken: deferred },
  {
    what: 'a fence that fell',
    invariant: 'I5',
    job: heldAgain,
    broken: (id) => stage.sql`update stint.lease set fence = fence - 10 where job = ${id}`,
  },
  {
    what: 'a sequence that tells of no event',
    invariant: 'I9',
    job: readyJob,
    broken: (id) => stage.sql`update stint.ready set seq = 5 where job = ${id}`,
  },
  {
    what: 'an attempt that no event tells',
    invariant: 'I9',
    job: waitingJob,
    broken: (id) => stage.sql`update stint.deferred set attempt = 3 where job = ${id}`,
  },
  {
    what: 'a try that is lost from the history',
    invariant: 'I8',
    job: heldAgain,
    broken: (id) => stage.sql`delete from stint.attempt where job = ${id}`,
  },
  {
    what: 'more attempts than the policy allows',
    invariant: 'I7',
    job: heldJob,
    broken: (id) => stage.sql`update stint.lease set attempt = 11 where job = ${id}`,
  },
  {
    what: 'a token in a place that its job does not name',
    invariant: 'I4',
    job: readyJob,
    broken: (
      id,
    ) => stage.sql`insert into stint.ready (shard, queue_id, rank, ord, job, attempt, fence, life, seq, releases, size, checkpointed)
      values (0, ${queue.id}, 5, -7, ${id}, 0, 0, 1, 1, 0, 0, false)`,
  },
  { what: 'a lease of no job', invariant: 'I4', job: heldJob, broken: (id) => stage.sql`delete from stint.job where id = ${id}` },
];

describe('the check of invariants', () => {
  it('has nothing to say of sound jobs in every state', async () => {
    await Promise.all([readyJob(), stage.enqueue(queue, { runAt: stage.now + 1_000_000 })]);
    for (const make of [heldJob, waitingJob, endedJob]) await make();
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it.each(breakages)('finds $what ($invariant)', async ({ invariant, job, broken }) => {
    const [sound, jobId] = [await endedJob(), await job()];
    await broken(jobId);
    const found = await stage.violations(queue.namespace);
    expect(found).toContainEqual(expect.objectContaining({ invariant, jobId }));
    expect(found).not.toContainEqual(expect.objectContaining({ jobId: sound }));
  });

  it('looks at one namespace only', async () => {
    const jobId = await readyJob();
    await stage.sql`delete from stint.ready where job = ${jobId}`;
    expect(await stage.violations((await stage.queue()).namespace)).toEqual([]);
  });

  it('goes through everything page by page, however small the pages are', async () => {
    const ids = await stage.enqueue(queue, ...Array.from({ length: 7 }, () => ({})));
    const held = idsOf(await stage.claim(queue, { maxJobs: 2 }));
    const broken = [ids[6], held[1]];
    await stage.sql`update stint.ready set seq = 9 where job = ${ids[6] ?? ''}`;
    await stage.sql`update stint.lease set seq = 9 where job = ${held[1] ?? ''}`;
    const found = new Set<JobId | null>();
    const told: number[] = [];
    for (let after: string | null | undefined; after !== null;) {
      const page = await stage.repository.checkInvariants(queue.namespace, 1, after ?? null);
      for (const { jobId } of page.violations) found.add(jobId);
      told.push(new Set(page.violations.map(({ jobId }) => jobId)).size);
      after = page.next;
    }
    expect(found).toEqual(new Set(broken));
    expect(Math.max(...told), 'jobs on one page').toBe(1);
    expect(told.length, 'small pages look at as many rows as large ones').toBeLessThan(9);
  });
});
