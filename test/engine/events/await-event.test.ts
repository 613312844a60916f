import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { awaitEvent, type AwaitedEvent, type AwaitEvent } from '../../../src/engine/events/await-event.ts';
import { type FirstEventQuery, firstEvents } from '../../../src/engine/events/first-events.ts';
import { jobId } from '../../feed/memory-journal.ts';
import { JobHistory } from './job-history.ts';

const JOB = jobId(1);
/** In which a message comes, and in which whoever has been told of nothing looks for himself. */
const ALIVE_MS = 30_000;
const RECHECK_MS = 60_000;
const CUSTOM = { type: 'custom', customType: 'go', data: new Uint8Array(), contentType: '', state: 'READY' } as const;

describe('an await of an event', () => {
  let job: JobHistory;
  let draining: AbortController;
  let left: AbortController;
  let stream: AsyncGenerator<AwaitedEvent>;
  /** What others ask for in the same reads. */
  let others: readonly string[];
  const lane = {
    submit: async (query: FirstEventQuery) => {
      const asked = [query, ...others.map((type) => ({ ...query, type }))];
      const [found] = await firstEvents(job.histories)(asked);
      return found ?? null;
    },
  };
  const wait = (partial: Partial<AwaitEvent> = {}) => {
    const query = { namespace: 'n', jobId: JOB, type: 'go', afterSequence: 0, ...partial };
    stream = awaitEvent({ log: job, firstEvents: lane, draining: draining.signal, random: () => 0 }, query, left.signal);
  };
  const next = async () => (await stream.next()).value as AwaitedEvent | undefined;
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    [job, draining, left, others] = [new JobHistory(), new AbortController(), new AbortController(), []];
    job.append();
  });
  afterEach(async () => {
    left.abort();
    await stream.return(undefined);
    expect(job.watches).toBe(0);
    vi.useRealTimers();
  });

  it('tells what is there already, and ends', async () => {
    job.append({ detail: CUSTOM });
    job.append({ detail: CUSTOM });
    wait();
    expect(await next()).toMatchObject({ event: { sequence: 2 }, latestSequence: 3 });
    expect((await stream.next()).done).toBe(true);
    wait({ afterSequence: 2 });
    expect(await next()).toMatchObject({ event: { sequence: 3 } });
  });

  it('is woken by a hint, and reads on from where it has looked', async () => {
    wait();
    expect(await next()).toEqual({ event: null, latestSequence: 1 });
    const upcoming = next();
    job.append();
    job.hint();
    await vi.advanceTimersByTimeAsync(0);
    job.append({ detail: CUSTOM });
    job.hint();
    expect(await upcoming).toMatchObject({ event: { sequence: 3 } });
    expect(job.reads.map(({ after }) => after)).toEqual([0, 1, 2]);
  });

  it('goes on where what others await fills a read', async () => {
    others = ['ready'];
    for (let count = 0; count < 20; count += 1) job.append();
    job.append({ detail: CUSTOM });
    wait();
    expect(await next()).toMatchObject({ event: { sequence: 22 } });
    const steps = job.reads.map(({ after }) => after);
    expect(steps).toEqual([...new Set(steps)].toSorted((one, other) => one - other));
  });

  it('shows that it is alive, whatever else happens meanwhile', async () => {
    wait();
    await next();
    for (let message = 0; message < 3; message += 1) {
      let told: AwaitedEvent | undefined;
      void next().then((value) => (told = value));
      for (let passed = 0; passed < ALIVE_MS; passed += 10_000) {
        expect(told).toBeUndefined();
        job.append();
        job.hint();
        await vi.advanceTimersByTimeAsync(10_000);
      }
      expect(told).toEqual({ event: null, latestSequence: job.events.length });
    }
  });

  it('reads nothing again to show that it is alive, and finds in the end what no hint told of', async () => {
    wait();
    await next();
    job.append({ detail: CUSTOM });
    const told: AwaitedEvent[] = [];
    void (async () => {
      for await (const message of stream) told.push(message);
    })();
    await vi.advanceTimersByTimeAsync(2 * ALIVE_MS - 1_000);
    expect(told).toEqual([1, 2].map(() => ({ event: null, latestSequence: 1 })));
    expect(job.reads).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(RECHECK_MS - ALIVE_MS);
    expect(told.slice(2)).toMatchObject([{ event: { sequence: 2 } }]);
  });

  it('tells nothing where something else happens', async () => {
    wait();
    await next();
    let told = false;
    const upcoming = next().then(() => (told = true));
    for (let count = 0; count < 5; count += 1) {
      job.append();
      job.hint();
      await vi.advanceTimersByTimeAsync(10);
    }
    expect(told).toBe(false);
    left.abort();
    await upcoming;
  });

  it('ends when its job is pruned', async () => {
    wait();
    await next();
    const refused = expect(next()).rejects.toMatchObject({ refusal: { kind: 'job_not_found', jobId: JOB } });
    job.isPruned = true;
    job.hint();
    await refused;
  });

  it('is told that the service goes away', async () => {
    wait();
    await next();
    const refused = expect(next()).rejects.toMatchObject({ refusal: { kind: 'shutting_down' } });
    draining.abort();
    await refused;
  });

  it('looks again from the beginning where the database was put back behind its back', async () => {
    job.append();
    job.append();
    wait();
    await next();
    job.putBack(1);
    job.append({ detail: CUSTOM });
    const upcoming = next();
    job.hint();
    expect(await upcoming).toMatchObject({ event: { sequence: 2 } });
  });

  it('looks again from the beginning of another history, which goes as far or farther', async () => {
    for (const more of [0, 1]) {
      job = new JobHistory();
      for (let count = 0; count < 10; count += 1) job.append();
      wait({ afterSequence: 3 });
      expect(await next()).toEqual({ event: null, latestSequence: 10 });
      const upcoming = next();
      job.restore(8);
      job.append({ detail: CUSTOM });
      for (let count = 0; count <= more; count += 1) job.append();
      job.hint();
      await vi.advanceTimersByTimeAsync(10);
      const told = await Promise.race([upcoming, new Promise((resolve) => setImmediate(() => resolve('nothing')))]);
      expect(told).toMatchObject({ event: { sequence: 9 }, latestSequence: 10 + more });
    }
  });

  it('tells nothing of a history that is over', async () => {
    wait();
    await next();
    job.append({ detail: CUSTOM });
    const upcoming = next();
    job.afterRead = () => job.restore(1);
    job.hint();
    let told = false;
    void upcoming.then(() => (told = true));
    await vi.advanceTimersByTimeAsync(10);
    expect(told).toBe(false);
    job.append({ detail: CUSTOM });
    job.append();
    job.hint();
    expect(await upcoming).toMatchObject({ event: { sequence: 2 }, latestSequence: 3 });
  });
});
