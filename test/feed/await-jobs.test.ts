import { describe, expect, it } from 'vitest';
import type { EndedJobs } from '../../src/engine/jobs/awaited-jobs.ts';
import { type JobId, parseJobId } from '../../src/domain/job.ts';
import type { RunningEngine } from '../../src/engine/create-engine.ts';
import type { Store } from '../../src/repository/store.ts';
import { useScene } from './scene.ts';
import { ack, claim, enqueue, enqueueTogether } from './work.ts';

const scene = useScene();
const never = () => new AbortController().signal;

function told({ jobs, remaining }: EndedJobs): readonly unknown[] {
  return [jobs.map(({ state }) => state), remaining];
}

async function next(messages: AsyncGenerator<EndedJobs>): Promise<EndedJobs> {
  const { value, done } = await messages.next();
  if (done === true) throw new Error('the wait has ended');
  return value;
}

async function rest(messages: AsyncIterable<EndedJobs>): Promise<readonly EndedJobs[]> {
  const all: EndedJobs[] = [];
  for await (const message of messages) all.push(message);
  return all;
}

async function three(engine: RunningEngine) {
  const namespace = scene.namespace();
  await enqueueTogether(engine, namespace, 3);
  const taken = await claim(engine, namespace, { maxJobs: 3 });
  const jobIds = taken.map(({ jobId }) => jobId);
  const tokens = taken.map(({ token }) => token);
  return { namespace, jobIds, tokens };
}

describe('an await of several jobs', () => {
  it('tells each end once, as it comes, and is over with the last', async () => {
    const { engine, hub } = await scene.replica();
    const { namespace, jobIds, tokens } = await three(engine);
    const [first, second, third] = tokens;
    await ack(engine, first ?? expect.unreachable());
    const waiting = engine.jobs.awaitJobs({ namespace, jobIds, mode: 'all' }, never());
    const begun = await next(waiting);
    expect(told(begun)).toEqual([['SUCCEEDED'], 2]);
    expect(begun.jobs[0]?.jobId).toBe(jobIds[0]);
    const ended = next(waiting);
    await ack(engine, third ?? expect.unreachable());
    expect((await ended).jobs.map(({ jobId }) => jobId)).toEqual([jobIds[2]]);
    const last = rest(waiting);
    await ack(engine, second ?? expect.unreachable());
    expect((await last).map(told)).toEqual([[['SUCCEEDED'], 0]]);
    expect(hub.watchedJobs).toBe(0);
  });

  it('of any is over with the first end, and says at once that it stands', async () => {
    const here = await scene.replica({ deaf: true });
    const there = await scene.replica();
    const { namespace, jobIds, tokens } = await three(there.engine);
    const waiting = here.engine.jobs.awaitJobs({ namespace, jobIds, mode: 'any' }, never());
    expect(told(await next(waiting))).toEqual([[], 3]);
    const ended = rest(waiting);
    await ack(there.engine, tokens[1] ?? expect.unreachable());
    const [only, ...more] = await ended;
    expect([only?.jobs.map(({ jobId }) => jobId), only?.remaining, more]).toEqual([[jobIds[1]], 2, []]);
    expect(here.hub.watchedJobs).toBe(0);
  });

  it('tells the end of the life that it awaits, though a retry has begun another since', async () => {
    const { engine } = await scene.replica();
    const namespace = scene.namespace();
    const jobId = await enqueue(engine, namespace);
    const waiting = engine.jobs.awaitJobs({ namespace, jobIds: [jobId], mode: 'all' }, never());
    await next(waiting);
    const operated = { namespace, jobId, reason: '', request: null };
    await engine.jobs.cancelJob(operated);
    await engine.jobs.retryJob(operated);
    // It reads when it is asked for its next message: by then the second life has begun.
    expect(await next(waiting)).toMatchObject({ jobs: [{ life: 1, state: 'CANCELLED' }], remaining: 0 });
    expect((await waiting.next()).done).toBe(true);
  });

  it('tells nothing where one of them is of another namespace or unknown, and names that one', async () => {
    const { engine, hub } = await scene.replica();
    const { namespace, jobIds, tokens } = await three(engine);
    await ack(engine, tokens[0] ?? expect.unreachable());
    const foreign = await enqueue(engine, scene.namespace());
    const unknown = parseJobId('01890a5d-ac96-774b-bcce-b302099a8057') ?? expect.unreachable();
    for (const missing of [foreign, unknown]) {
      const waiting = engine.jobs.awaitJobs({ namespace, jobIds: [...jobIds, missing], mode: 'any' }, never());
      await expect(waiting.next()).rejects.toMatchObject({ refusal: { kind: 'job_not_found', jobId: missing } });
    }
    expect(hub.watchedJobs).toBe(0);
  });

  it('ends, and names the job, where one is pruned before its end was told', async () => {
    const pruned = new Set<JobId>();
    const through = (store: Store): Store => ({
      ...store,
      repository: {
        ...store.repository,
        getJobs: async (ids) => (await store.repository.getJobs(ids)).map((job) => (job !== null && pruned.has(job.jobId) ? null : job)),
      },
    });
    const { engine, hub } = await scene.replica({ through });
    const { namespace, jobIds, tokens } = await three(engine);
    const [first, second] = jobIds;
    if (first === undefined || second === undefined) throw new Error('nothing was claimed');
    const waiting = engine.jobs.awaitJobs({ namespace, jobIds, mode: 'all' }, never());
    await next(waiting);
    await ack(engine, tokens[0] ?? expect.unreachable());
    expect((await next(waiting)).jobs.map(({ jobId }) => jobId)).toEqual([first]);
    await ack(engine, tokens[1] ?? expect.unreachable());
    // What was told may be pruned, too: it is read no more.
    for (const jobId of [first, second]) pruned.add(jobId);
    await expect(next(waiting)).rejects.toMatchObject({ refusal: { kind: 'job_not_found', jobId: second } });
    expect(hub.watchedJobs).toBe(0);
  });

  it('ends with a reason when the service drains, and without a word when its caller is gone', async () => {
    const { engine, hub } = await scene.replica();
    const { namespace, jobIds } = await three(engine);
    const gone = new AbortController();
    const [left, kept] = [gone.signal, never()].map((signal) => engine.jobs.awaitJobs({ namespace, jobIds, mode: 'all' }, signal));
    if (left === undefined || kept === undefined) throw new Error('nobody waits');
    await Promise.all([next(left), next(kept)]);
    const leaving = left.next();
    gone.abort();
    expect((await leaving).done).toBe(true);
    const ending = expect(kept.next()).rejects.toMatchObject({ refusal: { kind: 'shutting_down' } });
    await engine.drain();
    await ending;
    expect(hub.watchedJobs).toBe(0);
  });
});
