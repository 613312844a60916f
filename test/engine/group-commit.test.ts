import { describe, expect, it } from 'vitest';
import { StoreError, type StoreErrorKind } from '../../src/engine/ports/store-error.ts';
import { GroupCommit } from '../../src/engine/group-commit.ts';
import { item, Lane, settled, type Flight, type Item } from './lane.ts';

const MiB = 1024 * 1024;
const items = (count: number, told: { tenant?: string; bytes?: number } = {}) =>
  Array.from({ length: count }, (_, index) => item(`${told.tenant ?? ''}${index}`, told));
const outcome = (promise: Promise<unknown>) =>
  promise.then(
    (value) => value,
    (error: unknown) => (error instanceof StoreError ? error.kind : error),
  );

/** Fails whatever holds one of the named items, `times` times each; counts what it was asked for. */
function failing(kind: StoreErrorKind, bad: readonly string[], times = Number.POSITIVE_INFINITY) {
  const left = new Map(bad.map((name) => [name, times]));
  const batches: string[][] = [];
  const group = new GroupCommit<Item, string>({
    name: 'lane',
    bytesOf: ({ bytes }) => bytes,
    tenantOf: ({ tenant }) => tenant,
    commit: async (sent) => {
      batches.push(sent.map(({ name }) => name));
      const hit = sent.filter(({ name }) => (left.get(name) ?? 0) > 0);
      for (const { name } of hit) left.set(name, (left.get(name) ?? 0) - 1);
      if (hit.length > 0) throw new StoreError(kind, 'no');
      return sent.map(({ name }) => name.toUpperCase());
    },
  });
  return { group, batches };
}

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

describe('a commit that fails', () => {
  it('is run again as it is when it lost a race', async () => {
    const { group, batches } = failing('conflict', ['b'], 3);
    expect(await group.submitMany([item('a'), item('b')])).toEqual(['A', 'B']);
    expect(batches).toEqual(Array.from({ length: 4 }, () => ['a', 'b']));
  });

  it('is given up after ten lost races', async () => {
    const { group, batches } = failing('conflict', ['a']);
    expect(await outcome(group.submit(item('a')))).toBe('conflict');
    expect(batches).toHaveLength(11);
  });

  it('is halved until the bad item stands alone; its neighbours succeed', async () => {
    const { group, batches } = failing('bad_item', ['37', '38']);
    const answers = items(100).map((one) => outcome(group.submit(one)));
    expect(await Promise.all(answers)).toEqual(
      items(100).map(({ name }) => (name === '37' || name === '38' ? 'bad_item' : name.toUpperCase())),
    );
    expect(batches.length).toBeLessThan(25);
  });

  it.each(['unavailable', 'broken'] as const)('rejects everybody in it when the store is %s, and nobody else', async (kind) => {
    const lane = new Lane();
    const inFlight = [lane.group.submit(item('a')), lane.group.submit(item('b'))].map(outcome);
    const flight = await lane.flight();
    const next = lane.group.submit(item('c'));
    flight.crash(new StoreError(kind, 'no'));
    expect(await Promise.all(inFlight)).toEqual([kind, kind]);
    (await lane.flight()).land();
    expect(await next).toBe('C');
    expect(lane.unseen).toBe(0);
  });
});

describe('an item that meets a locked row', () => {
  const contended = () => new StoreError('contended', 'locked');

  it('goes beside the lane: the lane goes on, and the strangers of its batch succeed while it waits', async () => {
    const lane = new Lane();
    const answers = new Map(items(512).map((one) => [one.name, lane.group.submit(one)]));
    (await lane.flight()).crash(contended());
    const later = lane.group.submit(item('later'));
    const served = new Set<string>();
    const waiting: Flight[] = [];
    while (served.size < 512) {
      const flight = await lane.flight();
      if (flight.names.length === 1 && flight.names[0] === '300') waiting.push(flight);
      else if (flight.names.includes('300')) flight.crash(contended());
      else {
        for (const name of flight.names) served.add(name);
        flight.land();
      }
    }
    expect(await later).toBe('LATER');
    expect(served.has('300')).toBe(false);
    const alone = waiting[0] ?? (await lane.flight());
    alone.crash(contended());
    const again = await lane.flight();
    expect(again.names).toEqual(['300']);
    again.land();
    expect(await Promise.all(answers.values())).toEqual([...answers.keys()]);
  });

  it('is given up after twenty tries of its own', async () => {
    const { group, batches } = failing('contended', ['a']);
    expect(await outcome(group.submit(item('a')))).toBe('contended');
    expect(batches).toHaveLength(21);
  });

  it('does not take many with it: of many locked items only two are tried at once, and the lane goes on', async () => {
    const lane = new Lane();
    const answers = items(40, { tenant: 'locked' }).map((one) => lane.group.submit(one));
    (await lane.flight()).crash(contended());
    const stuck = [await lane.flight(), await lane.flight()];
    await settled();
    expect(lane.unseen).toBe(0);
    const stranger = lane.group.submit(item('stranger'));
    const flight = await lane.flight();
    expect(flight.names).toEqual(['stranger']);
    flight.land();
    expect(await stranger).toBe('STRANGER');
    for (const one of stuck) one.land();
    for (let served = stuck.flatMap(({ names }) => names).length; served < 40;) {
      const next = await lane.flight();
      served += next.names.length;
      next.land();
    }
    await Promise.all(answers);
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
