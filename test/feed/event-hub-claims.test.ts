/** What the hub reads for parked claims, which are told of what is committed on their own replica. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { JobEvent } from '../../src/domain/event.ts';
import { EventHub } from '../../src/feed/event-hub.ts';
import { HandBell } from './hand-bell.ts';
import { event, MemoryJournal } from './memory-journal.ts';

describe('the hub', () => {
  let journal: MemoryJournal;
  let bell: HandBell;
  let hub: EventHub;
  let seen: JobEvent[];
  let begins: number;

  beforeEach(async () => {
    [journal, bell, seen, begins] = [new MemoryJournal(), new HandBell(), [], 0];
    hub = new EventHub({
      journal,
      doorbell: bell,
      onEvents: (events) => seen.push(...events),
      onBegin: () => (begins += 1),
      onQueues: () => undefined,
      onNewEpoch: () => undefined,
      onFailure: (error) => {
        throw error;
      },
    });
    await hub.start();
  });
  afterEach(() => hub.stop());

  it('does not read what is committed here for claims that were told of it', async () => {
    const hearing = hub.keepHearing();
    await hub.refresh();
    const { reads } = journal;
    hub.committedAndTold();
    await hub.stop();
    expect([journal.reads, bell.rings]).toEqual([reads, 1]);
    hearing.close();
  });

  it.each<[string, () => void]>([
    ['where it was not told', () => hub.committed()],
    ['that another replica rings for', () => bell.onRing()],
  ])('reads for a claim what is committed %s', async (_where, tell) => {
    const hearing = hub.keepHearing();
    await hub.refresh();
    journal.commit(event(1));
    tell();
    await hub.stop();
    expect(seen).toHaveLength(1);
    hearing.close();
  });

  it('reads what claims were told of for whoever else there is', async () => {
    const [former, hearing, reading] = [hub.keepHearing(), hub.keepHearing(), hub.keepReading()];
    await hub.refresh();
    for (const claims of [former, former]) claims.close();
    journal.commit(event(1));
    hub.committedAndTold();
    await hub.stop();
    expect(seen).toHaveLength(1);
    [hearing, reading].forEach((one) => one.close());
  });

  it('does not begin anew for a claim that comes soon after another, and reads for it what it was rung for meanwhile', async () => {
    const first = hub.keepHearing();
    await hub.refresh();
    first.close();
    journal.commit(event(1));
    bell.onRing();
    const second = hub.keepHearing();
    await hub.stop();
    expect([seen.length, begins, journal.heads]).toEqual([1, 1, 1]);
    second.close();
  });

  it('stays where it is when who wanted a look has gone before it', async () => {
    const hearing = hub.keepHearing();
    await hub.refresh();
    bell.onRing();
    hearing.close();
    await hub.stop();
    expect(journal.heads).toBe(1);
    expect(() => hub.junction()).not.toThrow();
  });
});
