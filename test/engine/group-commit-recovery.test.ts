import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { StoreError } from '../../src/engine/ports/store-error.ts';
import { failing, item, items, Lane, outcome, settled, type Flight } from './lane.ts';

describe('a commit that fails', () => {
  it('is run again as it is when it lost a race', async () => {
    const { group, batches } = failing('conflict', ['b'], { times: 3 });
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

  it('is halved where it only reads and is broken; where the store is away, it is not', async () => {
    const { group } = failing('broken', ['37'], { readsOnly: true });
    const answers = items(100).map((one) => outcome(group.submit(one)));
    expect(await Promise.all(answers)).toEqual(items(100).map(({ name }) => (name === '37' ? 'broken' : name.toUpperCase())));
    const away = failing('unavailable', ['37'], { readsOnly: true });
    const refused = items(100).map((one) => outcome(away.group.submit(one)));
    expect(await Promise.all(refused)).toEqual(items(100).map(() => 'unavailable'));
    expect(away.batches).toHaveLength(1);
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

  it('is given up after ten seconds, however many wait for their turn before it', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const lane = new Lane();
    const answers = items(40).map((one) => outcome(lane.group.submit(one)));
    (await lane.flight()).crash(contended());
    const tried = [await lane.flight(), await lane.flight()];
    vi.advanceTimersByTime(10_001);
    const late = outcome(lane.group.submit(item('late')));
    (await lane.flight()).crash(contended());
    for (const flight of tried) flight.crash(contended());
    expect(await Promise.all(answers)).toEqual(answers.map(() => 'contended'));
    const alone = await lane.flight();
    expect(alone.names).toEqual(['late']);
    alone.land();
    expect(await late).toBe('LATE');
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
