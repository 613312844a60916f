import { describe, expect, it } from 'vitest';
import { GroupCommit } from '../../src/engine/group-commit.ts';
import { StoreError } from '../../src/engine/ports/store-error.ts';
import { failing, item, items, Lane, outcome, settled, type Item } from './lane.ts';

const MiB = 1024 * 1024;

describe('a group commit', () => {
  it('flushes at once when idle', async () => {
    const lane = new Lane();
    const answer = lane.group.submit(item('a'));
    const flight = await lane.flight();
    expect(flight.names).toEqual(['a']);
    flight.land();
    expect(await answer).toBe('A');
  });

  it('commits what one call brings together', async () => {
    const lane = new Lane();
    const answers = lane.group.submitMany([item('a'), item('b')]);
    const flight = await lane.flight();
    expect(flight.names).toEqual(['a', 'b']);
    flight.land();
    expect(await answers).toEqual(['A', 'B']);
  });

  it('commits together what one turn of the event loop brings, whoever brings it', async () => {
    const lane = new Lane();
    const answers = [lane.group.submit(item('a'))];
    await Promise.resolve();
    answers.push(lane.group.submit(item('b')));
    await new Promise((resolve) => process.nextTick(resolve));
    answers.push(lane.group.submit(item('c')));
    const flight = await lane.flight();
    expect(flight.names).toEqual(['a', 'b', 'c']);
    flight.land();
    expect(await Promise.all(answers)).toEqual(['A', 'B', 'C']);
  });

  it('gathers what arrives while a commit is in flight into one next commit', async () => {
    const lane = new Lane();
    const first = lane.group.submit(item('a'));
    const flight = await lane.flight();
    const later = [lane.group.submit(item('b')), lane.group.submit(item('c')), lane.group.submit(item('d'))];
    await settled();
    expect(lane.unseen).toBe(0);
    flight.land();
    expect(await first).toBe('A');
    const next = await lane.flight();
    expect(next.names).toEqual(['b', 'c', 'd']);
    next.land();
    expect(await Promise.all(later)).toEqual(['B', 'C', 'D']);
  });

  it('has as many commits in flight as lanes, and is idle when the last has landed', async () => {
    const lane = new Lane({ lanes: 2, maxItems: 1 });
    const answers = Promise.all(['a', 'b', 'c'].map((name) => lane.group.submit(item(name))));
    const [first, second] = [await lane.flight(), await lane.flight()];
    expect([first.names, second.names]).toEqual([['a'], ['b']]);
    await settled();
    expect(lane.unseen).toBe(0);
    let idle = false;
    const idled = lane.group.idle().then(() => (idle = true));
    second.land();
    const third = await lane.flight();
    expect(third.names).toEqual(['c']);
    third.land();
    await settled();
    expect(idle).toBe(false);
    first.land();
    expect(await answers).toEqual(['A', 'B', 'C']);
    await idled;
  });

  it('takes at most 512 items into a commit', async () => {
    const lane = new Lane();
    const answers = lane.group.submitMany(items(1_100));
    const sizes = [];
    for (let left = 1_100; left > 0;) {
      const flight = await lane.flight();
      sizes.push(flight.names.length);
      left -= flight.names.length;
      flight.land();
    }
    expect(sizes).toEqual([512, 512, 76]);
    expect(await answers).toEqual(items(1_100).map(({ name }) => name.toUpperCase()));
  });

  it('takes at most 1 MiB into a commit, and a larger item alone', async () => {
    const lane = new Lane();
    const sizes = [0.5, 0.5, 0.25, 1.5, 0, 1];
    const answers = lane.group.submitMany(sizes.map((size, index) => item(`${index}`, { bytes: size * MiB })));
    const batches = [];
    for (let left = sizes.length; left > 0;) {
      const flight = await lane.flight();
      batches.push(flight.names);
      left -= flight.names.length;
      flight.land();
    }
    expect(batches).toEqual([['0', '1'], ['2'], ['3'], ['4', '5']]);
    await answers;
  });

  it('answers each item with its own outcome, also over several commits', async () => {
    const { group } = failing('bad_item', []);
    const brought = items(1_500);
    expect(await group.submitMany(brought)).toEqual(brought.map(({ name }) => name.toUpperCase()));
  });

  it('rejects everybody when the commit answers with another number of outcomes', async () => {
    const group = new GroupCommit<Item, string>({ name: 'lane', bytesOf: () => 0, tenantOf: () => '', commit: async () => ['A'] });
    const answers = [group.submit(item('a')), group.submit(item('b'))].map(outcome);
    expect(await Promise.all(answers)).toEqual([expect.any(Error), expect.any(Error)]);
  });
});

describe('turn-taking', () => {
  it('serves a small tenant in the next commit, however much another one has brought', async () => {
    const lane = new Lane();
    void lane.group.submitMany(items(3_000, { tenant: 'big' })).catch(() => undefined);
    const first = await lane.flight();
    void lane.group.submitMany(items(3, { tenant: 'small' })).catch(() => undefined);
    first.land();
    const next = await lane.flight();
    expect(next.names.filter((name) => name.startsWith('small'))).toEqual(['small0', 'small1', 'small2']);
    expect(next.names).toHaveLength(512);
  });

  it('serves every one of more than 512 tenants before any of them twice', async () => {
    const lane = new Lane();
    const tenants = Array.from({ length: 700 }, (_, index) => `t${index}-`);
    const answers = tenants.map((tenant) => lane.group.submitMany(items(2, { tenant })));
    const served: string[] = [];
    while (served.length < 1_400) {
      const flight = await lane.flight();
      served.push(...flight.names);
      flight.land();
    }
    await Promise.all(answers);
    expect(new Set(served.slice(0, 700))).toEqual(new Set(tenants.map((tenant) => `${tenant}0`)));
    expect(new Set(served.slice(700))).toEqual(new Set(tenants.map((tenant) => `${tenant}1`)));
  });

  it('keeps the order of one tenant', async () => {
    const lane = new Lane();
    const answers = ['x', 'y'].map((tenant) => lane.group.submitMany(items(400, { tenant })));
    const served: string[] = [];
    while (served.length < 800) {
      const flight = await lane.flight();
      served.push(...flight.names);
      flight.land();
    }
    await Promise.all(answers);
    expect(served.filter((name) => name.startsWith('x'))).toEqual(items(400, { tenant: 'x' }).map(({ name }) => name));
  });
});

describe('a full group commit', () => {
  const overloaded = expect.objectContaining({ refusal: { kind: 'overloaded', what: 'lane', retryAfterMs: 500 } });

  it('turns away what would pass 20,000 waiting items, all of it, and takes what still fits', async () => {
    const lane = new Lane();
    const inFlight = lane.group.submit(item('first'));
    const flight = await lane.flight();
    const accepted = lane.group.submitMany(items(19_999));
    expect(await outcome(lane.group.submitMany(items(2)))).toEqual(overloaded);
    const last = lane.group.submit(item('last'));
    expect(await outcome(lane.group.submit(item('late')))).toEqual(overloaded);
    flight.land();
    const served: string[] = [];
    while (served.length < 20_000) {
      const next = await lane.flight();
      served.push(...next.names);
      next.land();
    }
    await Promise.all([inFlight, accepted, last]);
    expect(served).toEqual([...items(19_999).map(({ name }) => name), 'last']);
  });

  it('turns away what would pass 64 MiB of waiting items', async () => {
    const lane = new Lane();
    const inFlight = lane.group.submit(item('first', { bytes: 1 }));
    const flight = await lane.flight();
    const accepted = Array.from({ length: 64 }, () => lane.group.submit(item('big', { bytes: MiB })));
    expect(await outcome(lane.group.submit(item('late', { bytes: 1 })))).toEqual(overloaded);
    flight.land();
    for (let left = 64; left > 0; left -= 1) (await lane.flight()).land();
    await Promise.all([inFlight, ...accepted]);
    const again = lane.group.submit(item('again', { bytes: MiB }));
    (await lane.flight()).land();
    expect(await again).toBe('AGAIN');
  });
});

describe('idle', () => {
  const told = (promise: Promise<unknown>) => {
    const seen = { done: false };
    void promise.then(() => (seen.done = true));
    return seen;
  };

  it('resolves at once when nothing waits', async () => {
    await new Lane().group.idle();
  });

  it('waits for what is in flight and for what waits behind it', async () => {
    const lane = new Lane();
    const first = lane.group.submit(item('a'));
    const flight = await lane.flight();
    const second = lane.group.submit(item('b'));
    const idle = told(lane.group.idle());
    flight.land();
    const next = await lane.flight();
    await settled();
    expect(idle.done).toBe(false);
    next.land();
    await settled();
    expect(idle.done).toBe(true);
    await Promise.all([first, second]);
  });

  it('waits for what went beside the lane, however often it is tried again', async () => {
    const lane = new Lane();
    const answer = lane.group.submit(item('a'));
    const idle = told(lane.group.idle());
    for (let tries = 0; tries < 5; tries += 1) (await lane.flight()).crash(new StoreError('contended', 'locked'));
    const last = await lane.flight();
    await settled();
    expect(idle.done).toBe(false);
    last.land();
    await settled();
    expect(idle.done).toBe(true);
    expect(await answer).toBe('A');
  });
});
