import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobId, JobSpec } from '../../../src/domain/job.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { OperatedPage, OperatePage } from '../../../src/engine/ports/repository.ts';
import { Stage, tokenOf } from '../../engine/stage.ts';

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

const pageOf = (jobIds: readonly JobId[], told: Partial<OperatePage> = {}): OperatePage => ({
  namespace: queue.namespace,
  jobIds,
  nextAfter: null,
  reason: 'why',
  request: null,
  ...told,
});
const requestOf = (content: string, requestId: string = randomUUID()) => ({ requestId, digest: Buffer.from(content) });

/** What each job came to: the value, or the kind of the refusal. */
const toldOf = <Told>({ answer }: OperatedPage<Told>) =>
  answer.ok ? answer.value.results.map(({ result }) => (result.ok ? result.value : result.refusal.kind)) : answer.refusal.kind;
const statesOf = async (ids: readonly JobId[]) => (await stage.repository.getJobs(ids)).map((job) => job?.state);

async function enqueue(...told: Partial<JobSpec>[]): Promise<readonly [JobId, JobId, JobId, ...JobId[]]> {
  const [one, two, three, ...more] = await stage.enqueue(queue, ...told);
  if (one === undefined || two === undefined || three === undefined) throw new Error('a test needs three jobs');
  return [one, two, three, ...more];
}

describe('a page that is cancelled', () => {
  it('judges each job as it stands, and answers in the order it was asked in', async () => {
    const ids = await enqueue({}, {}, {}, {});
    const [acked, running] = await stage.claim(queue, { maxJobs: 2 });
    if (acked === undefined || running === undefined) throw new Error('nothing to claim');
    await stage.repository.ackMany([{ token: tokenOf(acked), result: Buffer.alloc(9), contentType: '' }]);
    const missing = stage.mint.mint();
    const page = await stage.repository.cancelPage(pageOf([...ids, missing].toReversed()));
    expect(toldOf(page)).toEqual(['job_not_found', 'CANCELLED', 'CANCELLED', 'CANCEL_REQUESTED', 'ALREADY_TERMINAL']);
    expect(page.answer.ok && page.answer.value.results.map(({ jobId }) => jobId)).toEqual([...ids, missing].toReversed());
    expect(page.changed.map(({ jobId, state, result }) => [jobId, state, result])).toEqual([
      [ids[3], 'CANCELLED', null],
      [ids[2], 'CANCELLED', null],
      [ids[1], 'RUNNING', null],
    ]);
    expect((await stage.job(ids[3] ?? missing)).asked?.cancelReason).toBe('why');
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('leaves the jobs of other namespaces alone', async () => {
    const ids = await enqueue({}, {}, {});
    expect(toldOf(await stage.repository.cancelPage(pageOf(ids, { namespace: 'another' })))).toEqual(ids.map(() => 'job_not_found'));
    expect(await statesOf(ids)).toEqual(['READY', 'READY', 'READY']);
  });

  it('takes a thousand jobs, whatever the order of two who do so at once', { timeout: 60_000 }, async () => {
    const ids = await stage.enqueue(queue, ...Array.from({ length: 1_000 }, () => ({ payload: new Uint8Array() })));
    const other = await stage.another();
    const both = await Promise.allSettled([stage.repository.cancelPage(pageOf(ids)), other.cancelPage(pageOf(ids.toReversed()))]);
    // Whoever comes second waits for a locked row only so long, and is asked to come again.
    const told = both.flatMap((one) => (one.status === 'fulfilled' ? [toldOf(one.value)] : []));
    expect(told.length).toBeGreaterThan(0);
    expect(new Set(told.flat())).not.toContain('job_not_found');
    expect(new Set(await statesOf(ids))).toEqual(new Set(['CANCELLED']));
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });
});

describe('a page whose request has an id', () => {
  it('is answered the same again, with where to go on, and does nothing', async () => {
    const [one, two, three] = await enqueue({}, {}, {});
    const request = requestOf('page');
    const first = await stage.repository.cancelPage(pageOf([two, one], { request, nextAfter: one }));
    const again = await stage.repository.cancelPage(pageOf([three, two], { request, nextAfter: null }));
    expect(again.answer).toEqual(first.answer);
    expect(again.changed).toEqual([]);
    expect(first.answer.ok && first.answer.value.nextAfter).toBe(one);
    expect(await statesOf([one, two, three])).toEqual(['CANCELLED', 'CANCELLED', 'READY']);
  });

  it('keeps refusals of single jobs, as they were', async () => {
    const [one] = await enqueue({}, {}, {});
    const request = requestOf('page');
    const first = await stage.repository.retryPage(pageOf([one, stage.mint.mint()], { request }));
    expect(toldOf(first)).toEqual(['invalid_transition', 'job_not_found']);
    await stage.repository.cancelPage(pageOf([one]));
    expect((await stage.repository.retryPage(pageOf([one], { request }))).answer).toEqual(first.answer);
  });

  it('is refused where the id was used for something else, and counts for its own RPC alone', async () => {
    const [one, two] = await enqueue({}, {}, {});
    const request = requestOf('page');
    await stage.repository.cancelPage(pageOf([one], { request }));
    const other = { ...request, digest: Buffer.from('another') };
    expect((await stage.repository.cancelPage(pageOf([two], { request: other }))).answer).toEqual({
      ok: false,
      refusal: { kind: 'invalid_field', violations: [{ field: 'request_id', description: 'was used for another request' }] },
    });
    expect(await statesOf([two])).toEqual(['READY']);
    expect(toldOf(await stage.repository.retryPage(pageOf([one], { request })))).toEqual([2]);
  });

  it('is remembered in the commit that did it, or not at all', async () => {
    const [one, two] = await enqueue({}, {}, {});
    const request = requestOf('page');
    const stranger = await stage.stranger((sql) => sql`select * from stint.ready where job = ${two} for update`);
    await expect(stage.repository.cancelPage(pageOf([one, two], { request }))).rejects.toThrow();
    await stranger.rollback();
    expect(await statesOf([one, two])).toEqual(['READY', 'READY']);
    expect(toldOf(await stage.repository.cancelPage(pageOf([two], { request })))).toEqual(['CANCELLED']);
  });
});

describe('a page that is retried', () => {
  it('begins a new life of each job that has one to begin', async () => {
    const ids = await enqueue({}, {}, {});
    const [one, two, three] = ids;
    await stage.repository.cancelPage(pageOf([one, two]));
    const page = await stage.repository.retryPage(pageOf([three, two, one]));
    expect(toldOf(page)).toEqual(['invalid_transition', 2, 2]);
    expect(page.changed.map(({ jobId, state }) => [jobId, state])).toEqual([
      [two, 'READY'],
      [one, 'READY'],
    ]);
    expect((await stage.repository.history(one, 0, 100))?.events.at(-1)?.detail).toEqual({ type: 'retried', reason: 'why' });
    // The one that was there before goes first, then in the order in which they were enqueued.
    expect((await stage.repository.peekQueue(queue, 10)).map(({ jobId }) => jobId)).toEqual([three, one, two]);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('gives one key to one job, of several that held it one after the other', async () => {
    const keyed = { idempotency: { key: 'k', scope: 'UNTIL_TERMINAL', ttlMs: null } } as const;
    const ids: JobId[] = [];
    for (let count = 0; count < 3; count += 1) {
      const [id] = await stage.enqueue(queue, keyed);
      if (id === undefined) throw new Error('nothing was enqueued');
      await stage.repository.cancelPage(pageOf([id]));
      ids.push(id);
    }
    const { answer } = await stage.repository.retryPage(pageOf(ids));
    const results = answer.ok ? answer.value.results.map(({ result }) => result) : [];
    const winner = ids[results.findIndex(({ ok }) => ok)];
    expect(results.filter(({ ok }) => ok)).toEqual([{ ok: true, value: 2 }]);
    expect(results.flatMap((one) => (one.ok ? [] : [one.refusal]))).toEqual([
      { kind: 'duplicate_job', jobId: winner },
      { kind: 'duplicate_job', jobId: winner },
    ]);
    expect((await statesOf(ids)).filter((state) => state === 'READY')).toHaveLength(1);
  });
});
