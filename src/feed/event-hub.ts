/**
 * The one follower of the log on this replica. Reads each committed row once, however many want it: keeps a bounded ring
 * of what it read last for those who keep up, and wakes those who watch a job. Whoever falls behind the ring reads the
 * log for himself (`log-reader.ts`).
 */
import type { JobEvent } from '../domain/event.ts';
import type { JobId } from '../domain/job.ts';
import { snapshotXmax, type Epoch, type Journal, type LogChunk, type LogPosition } from '../engine/ports/journal.ts';
import type { Doorbell } from '../engine/ports/doorbell.ts';
import { EpochEnded, type EventLog, type JobWatch, type LogReader } from '../engine/ports/event-log.ts';
import { Signal } from './signal.ts';
import { FollowingReader } from './log-reader.ts';

/** How long a lost ring can delay what it told of. */
const POLL_INTERVAL_MS = 1_000;
/** Looks in a row are at least so far apart: under load one look then brings many commits. */
const LOOK_GAP_MS = 5;
/** Events the ring holds; a reader further behind reads the log. */
const RING_EVENTS = 50_000;

/** Where a reader of the log may join the ring: behind `position`, its next entry is `entry`. */
export interface Junction {
  readonly position: LogPosition;
  readonly entry: number;
}

export interface EventHubParts {
  readonly journal: Journal;
  readonly doorbell: Doorbell;
  /** Sees every event that the hub reads, before anybody is woken. */
  readonly onEvents: (events: readonly JobEvent[]) => void;
  readonly onNewEpoch: () => void;
  readonly onFailure: (error: unknown) => void;
}

export class EventHub implements EventLog {
  readonly #parts: EventHubParts;
  readonly #changed = new Signal();
  readonly #watches = new Map<JobId, Set<Watch>>();
  #ring: LogChunk[] = [];
  #ringEvents = 0;
  /** Number of the ring's first entry; entries are numbered from the start of the process. */
  #firstEntry = 0;
  /** Null while nobody wants events: the hub then does not read. */
  #at: LogPosition | null = null;
  #junction: Junction | null = null;
  #interest = 0;
  #looking: Promise<void> | null = null;
  #lookAfter: Promise<void> | null = null;
  #lastLook = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(parts: EventHubParts) {
    this.#parts = parts;
  }

  async start(): Promise<void> {
    await this.#parts.doorbell.listen(() => this.#look());
    this.#timer = setInterval(() => this.#look(), POLL_INTERVAL_MS);
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#looking?.catch(() => undefined);
  }

  committed(): void {
    this.#look();
    this.#parts.doorbell.ring();
  }

  async epoch(): Promise<Epoch> {
    return (await this.#parts.journal.head()).epoch;
  }

  async readFrom(start: LogPosition | 'now' | 'beginning'): Promise<LogReader> {
    const interest = this.keepReading();
    try {
      // A look that began after the call: what the caller has seen on any replica, the hub has seen then too.
      await this.refresh();
      const junction = this.junction();
      return new FollowingReader(this, this.#parts.journal, startOf(start, junction), interest);
    } catch (error) {
      interest.close();
      throw error;
    }
  }

  async watch(jobId: JobId): Promise<JobWatch> {
    const interest = this.keepReading();
    if (this.#at === null) await this.refresh();
    const watch = new Watch(() => {
      interest.close();
      const others = this.#watches.get(jobId);
      others?.delete(watch);
      if (others?.size === 0) this.#watches.delete(jobId);
    });
    const watches = this.#watches.get(jobId) ?? new Set();
    this.#watches.set(jobId, watches.add(watch));
    return watch;
  }

  /** Keeps the hub reading until closed. */
  keepReading(): { close: () => void } {
    let open = true;
    this.#interest += 1;
    if (this.#at === null) this.#look();
    return {
      close: () => {
        if (open) this.#interest -= 1;
        open = false;
      },
    };
  }

  junction(): Junction {
    if (this.#junction === null) throw new EpochEnded();
    return this.#junction;
  }

  /** The entry of that number; `gone` when the ring has moved on, null when it is still to come. */
  entry(number: number): LogChunk | 'gone' | null {
    if (number < this.#firstEntry) return 'gone';
    return this.#ring[number - this.#firstEntry] ?? null;
  }

  /** Until the hub has read something more, or the signal. */
  changed(signal: AbortSignal): Promise<void> {
    return this.#changed.wait(signal);
  }

  /** Resolves when a look that began after this call is done. */
  refresh(): Promise<void> {
    if (this.#looking === null) return this.#begin();
    this.#lookAfter ??= this.#looking
      .catch(() => undefined)
      .then(() => {
        this.#lookAfter = null;
        return this.#begin();
      });
    return this.#lookAfter;
  }

  #look(): void {
    if (this.#interest === 0) {
      // Nobody wants what comes: the next who does begins at its own now.
      if (this.#looking === null) this.#forget();
      return;
    }
    this.refresh().catch(this.#parts.onFailure);
  }

  #begin(): Promise<void> {
    this.#looking = this.#read().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  async #read(): Promise<void> {
    const pause = this.#lastLook + LOOK_GAP_MS - performance.now();
    if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
    this.#lastLook = performance.now();
    if (this.#at === null) {
      this.#at = await this.#parts.journal.head();
      this.#junction = { position: this.#at, entry: this.#firstEntry };
    }
    for (;;) {
      const chunk = await this.#parts.journal.read(this.#at, null);
      if (chunk.position.epoch.id !== this.#at.epoch.id) return this.#newEpoch();
      this.#take(chunk);
      if (chunk.complete) return;
    }
  }

  #take(chunk: LogChunk): void {
    this.#at = chunk.position;
    if (chunk.events.length > 0) this.#keep(chunk);
    if (chunk.complete) this.#junction = { position: chunk.position, entry: this.#firstEntry + this.#ring.length };
    if (chunk.events.length === 0) return;
    const events = chunk.events.map(({ event }) => event);
    this.#parts.onEvents(events);
    for (const event of events) this.#watches.get(event.jobId)?.forEach((watch) => watch.mark());
    this.#changed.fire();
  }

  #keep(chunk: LogChunk): void {
    this.#ring.push(chunk);
    this.#ringEvents += chunk.events.length;
    while (this.#ringEvents > RING_EVENTS && this.#ring.length > 1) {
      this.#ringEvents -= this.#ring.shift()?.events.length ?? 0;
      this.#firstEntry += 1;
    }
  }

  #newEpoch(): void {
    this.#forget();
    this.#parts.onNewEpoch();
    this.#changed.fire();
    for (const watches of this.#watches.values()) watches.forEach((watch) => watch.mark());
    this.#look();
  }

  #forget(): void {
    this.#at = null;
    this.#junction = null;
    this.#firstEntry += this.#ring.length;
    this.#ring = [];
    this.#ringEvents = 0;
  }
}

function startOf(start: LogPosition | 'now' | 'beginning', junction: Junction): LogPosition {
  const { position } = junction;
  if (start === 'now') return position;
  if (start === 'beginning') return { epoch: position.epoch, seen: null, window: null };
  if (start.epoch.id !== position.epoch.id) throw new EpochEnded();
  const newest = [start.seen, start.window?.upTo].map((snapshot) => (snapshot ? snapshotXmax(snapshot) : 0n));
  // Seen beyond what the database knows: it was put back to an earlier state behind our back.
  if (newest.some((xmax) => xmax > snapshotXmax(position.seen ?? '0:0:'))) throw new EpochEnded();
  return start;
}

class Watch implements JobWatch {
  readonly #signal = new Signal();
  readonly #onClose: () => void;
  #marked = false;

  constructor(onClose: () => void) {
    this.#onClose = onClose;
  }

  mark(): void {
    this.#marked = true;
    this.#signal.fire();
  }

  async changed(signal: AbortSignal): Promise<void> {
    if (!this.#marked) await this.#signal.wait(signal);
    this.#marked = false;
  }

  close(): void {
    this.#onClose();
  }
}
