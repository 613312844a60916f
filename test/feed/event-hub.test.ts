import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { JobEvent } from '../../src/domain/event.ts';
import { EpochEnded, MAX_WATCHES } from '../../src/engine/ports/event-log.ts';
import { JournalDropped } from '../../src/engine/ports/journal.ts';
import { EventHub } from '../../src/feed/event-hub.ts';
import { HandBell } from './hand-bell.ts';
import { event, jobId, MemoryJournal } from './memory-journal.ts';

const PATIENCE_MS = 10_000;
const patient = () => AbortSignal.timeout(PATIENCE_MS);

describe('the hub', () => {
  let journal: MemoryJournal;
  let bell: HandBell;
  let hub: EventHub;
  let seen: JobEvent[];
  let begins: number;
  let newEpochs: number;
  let failures: unknown[];

  beforeEach(async () => {
    [journal, bell, seen, begins, newEpochs, failures] = [new MemoryJournal(), new HandBell(), [], 0, 0, []];
    hub = new EventHub({
      journal,
      doorbell: bell,
      onEvents: (events) => seen.push(...events),
      onBegin: () => (begins += 1),
      onQueues: () => undefined,
      onNewEpoch: () => (newEpochs += 1),
      onFailure: (error) => failures.push(error),
    });
    await hub.start();
  });
  afterEach(() => hub.stop());

  it('rings for the other replicas when something was committed here', () => {
    hub.committed();
    expect(bell.rings).toBe(1);
  });

  it('looks when another replica rings', async () => {
    const reader = await hub.readFrom('now');
    journal.commit(event(1));
    bell.onRing();
    const chunk = await reader.next(patient(), PATIENCE_MS);
    expect(chunk?.events.map((logged) => logged.event.jobId)).toEqual([jobId(1)]);
    reader.close();
  });

  it('tells of a look that fails once, however many commits asked for it', async () => {
    const reader = await hub.readFrom('now');
    journal.failure = new Error('away');
    for (let commits = 0; commits < 100; commits += 1) hub.committed();
    await hub.refresh().catch(() => undefined);
    // The look that was under way, and the one that all the others waited for.
    expect(failures).toHaveLength(2);
    reader.close();
  });

  it('looks without being told to', async () => {
    const watch = await hub.watch(jobId(1));
    journal.commit(event(1));
    await watch.changed(patient());
    expect(seen).toHaveLength(1);
    watch.close();
  });

  it('does not read while nobody wants events, and then begins at its own now', async () => {
    const reader = await hub.readFrom('now');
    journal.commit(event(1));
    await hub.refresh();
    reader.close();
    await hub.refresh();
    journal.commit(event(2));
    const { reads } = journal;
    hub.committed();
    bell.onRing();
    await hub.refresh();
    expect(journal.reads).toBe(reads);
    const later = await hub.readFrom('now');
    journal.commit(event(3));
    bell.onRing();
    await later.next(patient(), PATIENCE_MS);
    expect(seen.map((one) => one.jobId)).toEqual([jobId(1), jobId(3)]);
    later.close();
  });

  it('says whenever it begins to read: nobody is told of what was committed before', async () => {
    const first = hub.keepReading();
    await hub.refresh();
    await hub.refresh();
    expect(begins).toBe(1);
    first.close();
    await hub.refresh();
    const second = hub.keepReading();
    await hub.refresh();
    expect(begins).toBe(2);
    journal.beginEpoch();
    await hub.refresh();
    expect(begins).toBe(3);
    second.close();
  });

  it('lets go of large events long before there are many', async () => {
    const holding = hub.keepReading();
    await hub.refresh();
    const failure = { code: 'c', message: '', details: new Uint8Array(1024 * 1024), kind: 'TERMINAL' as const };
    const failed = event(1, { state: 'FAILED', detail: { type: 'failed', failure, deadLettered: true, evidence: null } });
    const first = hub.junction().entry;
    for (const count of [30, 30]) {
      journal.commit(...Array.from({ length: count }, () => failed));
      await hub.refresh();
    }
    expect(hub.entry(first)).toBe('gone');
    expect(hub.entry(first + 1)).toMatchObject({ complete: true });
    holding.close();
  });

  it('wakes who watches a job, and nobody else', async () => {
    const [one, two] = [await hub.watch(jobId(1)), await hub.watch(jobId(2))];
    const untouched = new AbortController();
    let woken = false;
    const other = two.changed(untouched.signal).then(() => (woken = !untouched.signal.aborted));
    journal.commit(event(1));
    bell.onRing();
    await one.changed(patient());
    untouched.abort();
    await other;
    expect(woken).toBe(false);
    [one, two].forEach((watch) => watch.close());
  });

  it('keeps a change that comes before it is waited for', async () => {
    const watch = await hub.watch(jobId(1));
    journal.commit(event(1));
    await hub.refresh();
    await watch.changed(new AbortController().signal);
    watch.close();
  });

  it('wakes every watch when the database has begun another history, once it reads in that', async () => {
    const watch = await hub.watch(jobId(1));
    journal.beginEpoch();
    await hub.refresh();
    await watch.changed(new AbortController().signal);
    expect(newEpochs).toBe(1);
    // What was committed before the hub read on is not told again; what comes after it is.
    journal.commit(event(1));
    bell.onRing();
    await watch.changed(patient());
    watch.close();
  });

  it('ends every reader when the database has begun another history, also one who waits', async () => {
    const reader = await hub.readFrom('now');
    const waiting = reader.next(patient(), PATIENCE_MS);
    journal.beginEpoch();
    bell.onRing();
    await expect(waiting).rejects.toThrow(EpochEnded);
    const fresh = await hub.readFrom('now');
    expect(fresh.position.epoch).toEqual(journal.epoch);
    [reader, fresh].forEach((one) => one.close());
  });

  it('opens a reader in the new history at the very look that finds it', async () => {
    const holding = hub.keepReading();
    await hub.refresh();
    journal.beginEpoch();
    const reader = await hub.readFrom('beginning');
    expect(reader.position).toEqual({ epoch: journal.epoch, seen: null, window: null });
    reader.close();
    holding.close();
  });

  it('notices another history while nobody wants events', async () => {
    await hub.refresh();
    journal.beginEpoch();
    await hub.refresh();
    expect(newEpochs).toBe(1);
  });

  it('looks once at a time, whenever it is asked to: nothing is told twice', async () => {
    const reader = await hub.readFrom('now');
    const told: string[] = [];
    for (let job = 1; job <= 20; job += 1) {
      journal.commit(event(job));
      const looks = [hub.refresh(), hub.refresh()];
      // Asked again so many turns of the microtasks after the first look is done.
      await looks[0];
      for (let turn = 0; turn < job % 10; turn += 1) await Promise.resolve();
      await Promise.all([...looks, hub.refresh()]);
      expect(journal.readsAtOnce).toBe(1);
    }
    while (told.length < 20) told.push(...((await reader.next(patient(), PATIENCE_MS))?.events ?? []).map((logged) => logged.event.jobId));
    expect(seen.map((one) => one.jobId)).toEqual(told);
    expect(told).toEqual(Array.from({ length: 20 }, (_, index) => jobId(index + 1)));
    reader.close();
  });

  it('that was away while its next events left the log skips them for nobody who had kept up', async () => {
    const [reader, other] = [await hub.readFrom('now'), await hub.readFrom('now')];
    journal.commit(event(1));
    await hub.refresh();
    for (const one of [reader, other]) expect((await one.next(patient(), PATIENCE_MS))?.events).toHaveLength(1);
    const waits = expect(other.next(patient(), PATIENCE_MS)).rejects.toThrow(JournalDropped);
    journal.commit(event(2));
    journal.drop();
    journal.commit(event(3));
    await hub.refresh();
    await waits;
    await expect(reader.next(patient(), PATIENCE_MS)).rejects.toThrow(JournalDropped);
    [reader, other].forEach((one) => one.close());
  });

  it('goes on where it was after a read that failed', async () => {
    const reader = await hub.readFrom('now');
    journal.commit(event(1));
    journal.failure = new Error('away');
    bell.onRing();
    await expect(hub.refresh()).rejects.toThrow('away');
    journal.failure = null;
    await hub.refresh();
    expect(seen.map((one) => one.jobId)).toEqual([jobId(1)]);
    expect(failures).toContainEqual(new Error('away'));
    reader.close();
  });

  it('refuses more watches than it has room for, all of one call, and has room again', async () => {
    const jobIds = Array.from({ length: 1_000 }, (_, index) => jobId(index));
    const watches: { close: () => void }[] = [];
    for (let count = 1_000; count < MAX_WATCHES; count += jobIds.length) watches.push(await hub.watchMany(jobIds));
    const lone = await hub.watch(jobId(1));
    const overloaded = { refusal: { kind: 'overloaded', what: 'watched jobs' } };
    await expect(hub.watchMany(jobIds)).rejects.toMatchObject(overloaded);
    watches.push(await hub.watchMany(jobIds.slice(1)));
    await expect(hub.watch(jobId(1))).rejects.toMatchObject(overloaded);
    for (const closing of [lone, lone]) closing.close();
    watches.push(await hub.watch(jobId(1)));
    await expect(hub.watch(jobId(1))).rejects.toMatchObject(overloaded);
    for (const watch of watches) watch.close();
    expect(hub.watchedJobs).toBe(0);
    // Nor does it read on for those it refused.
    const { reads } = journal;
    await hub.refresh();
    expect(journal.reads).toBe(reads);
  });

  it.each<[string, () => Promise<unknown>]>([
    ['a reader', () => hub.readFrom('now')],
    ['a watch', () => hub.watch(jobId(1))],
  ])('does not read on for %s that could not be opened', async (_what, open) => {
    journal.failure = new Error('away');
    await expect(open()).rejects.toThrow('away');
    journal.failure = null;
    await hub.refresh();
    expect(journal.reads).toBe(0);
  });
});
