/** Who waits at the desk is given to by an enqueue. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ClaimedJob, Given, Offer } from '../../src/engine/ports/repository.ts';
import { claimedJob, Desk, NOTHING, workersOf } from './desk.ts';
import { settled } from './lane.ts';

let desk: Desk;
beforeEach(() => {
  desk = new Desk();
});

afterEach(() => void vi.useRealTimers());

const QUEUE = { namespace: 'n', name: 'q' };
const given = (...jobs: (readonly ClaimedJob[])[]): Given => ({ jobs, limits: [] });

/** An offer that the test answers: who it is made to, and whether it was made. */
function offer(answer: (offered: Offer) => Promise<Given> | Given) {
  const workers: string[] = [];
  const made = desk.desk.offer(QUEUE, async (offered) => {
    workers.push(...offered.slots.map(({ workerId }) => workerId));
    return answer(offered);
  });
  return { workers, made };
}

describe('an enqueue', () => {
  it('gives to who waits, in the order they came, and no look of theirs follows', async () => {
    const [first, second] = await desk.park(['a', 'b']);
    const { workers, made } = offer(() => given([claimedJob('a')], []));
    expect(await made).toBe(true);
    expect(workers).toEqual(['a', 'b']);
    expect(workersOf((await first) ?? NOTHING)).toEqual(['a']);
    await settled();
    expect(desk.unseen).toBe(0);
    expect(desk.claimsTold).toBe(1);
    desk.wake('q');
    (await desk.look()).find(1);
    expect(workersOf((await second) ?? NOTHING)).toEqual(['b']);
  });

  it.each([
    ['nobody waits', () => Promise.resolve()],
    ['who waits names another queue too', () => desk.park(['a'], { queues: ['q', 'other'] })],
    ['who waits wants one type', () => desk.park(['a'], { types: ['t'] })],
    ['some wait for this queue and some for others too', () => desk.park(['a']).then(() => desk.park(['b'], { queues: ['q', 'other'] }))],
  ])('gives to nobody where %s', async (_, prepare) => {
    void (await prepare());
    const { workers, made } = offer(() => given());
    expect(await made).toBe(false);
    expect(workers).toEqual([]);
  });

  it('gives to nobody while a look of theirs is under way', async () => {
    const claim = desk.claim({ workerId: 'a' });
    const look = await desk.look();
    expect(await offer(() => given()).made).toBe(false);
    look.find(1);
    await claim;
  });

  it('that gave nothing leaves who waits as they are, and they are woken as ever', async () => {
    const [waiting] = await desk.park(['a']);
    await offer(() => given([])).made;
    await settled();
    expect(desk.unseen).toBe(0);
    desk.wake('q');
    (await desk.look()).find(1);
    expect(workersOf((await waiting) ?? NOTHING)).toEqual(['a']);
  });

  it('that is under way when a commit wakes them is followed by a look', async () => {
    const [, second] = await desk.park(['a', 'b']);
    let answer: (jobs: Given) => void = () => undefined;
    const { made } = offer(() => new Promise((resolve) => (answer = resolve)));
    await settled();
    desk.wake('q');
    answer(given([claimedJob('a')]));
    await made;
    (await desk.look()).find(1);
    expect(workersOf((await second) ?? NOTHING)).toEqual(['b']);
  });

  it('gives back what it gave to one who went meanwhile', async () => {
    const gone = new AbortController();
    void (await desk.park(['b']));
    const claim = desk.claim({ workerId: 'a' }, gone.signal);
    await settled();
    (await desk.look()).find();
    await settled();
    let answer: (jobs: Given) => void = () => undefined;
    const { workers, made } = offer(() => new Promise((resolve) => (answer = resolve)));
    await settled();
    expect(workers).toEqual(['b', 'a']);
    gone.abort();
    answer(given([], [claimedJob('a')]));
    await made;
    expect(await claim).toEqual(NOTHING);
    expect(desk.givenBack.map(({ job }) => job.workerId)).toEqual(['a']);
  });

  it('does not put off what opens with time', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    desk.limits = [{ queue: 'q', limiter: 'RATE', ready: true, openInMs: 1_000 }];
    const [waiting] = await desk.park(['a']);
    for (let told = 0; told < 3; told += 1) {
      vi.advanceTimersByTime(300);
      expect(await offer(() => given([])).made).toBe(true);
      await settled();
    }
    vi.advanceTimersByTime(100);
    (await desk.look()).find(1);
    expect(workersOf((await waiting) ?? NOTHING)).toEqual(['a']);
  });

  it('that comes when their time is over finds them answered', async () => {
    const short = desk.claim({ workerId: 'a', waitMs: 1 });
    (await desk.look()).find();
    expect(await short).toEqual(NOTHING);
    expect(await offer(() => given([claimedJob('a')])).made).toBe(false);
  });

  it('answers one whose time is over while it looks for others', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const short = desk.claim({ workerId: 'a', waitMs: 20 });
    (await desk.look()).find();
    await settled();
    let answer: (jobs: Given) => void = () => undefined;
    const { made } = offer(() => new Promise((resolve) => (answer = resolve)));
    await settled();
    vi.advanceTimersByTime(20);
    answer(given([]));
    await made;
    expect(await short).toEqual(NOTHING);
  });
});
