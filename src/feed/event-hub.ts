/**
 * The one follower of the log on this replica. Reads each committed row once, however many want it: keeps a bounded ring
 * of what it read last for those who keep up, and wakes those who watch a job. Whoever falls behind the ring reads the
 * log for himself (`log-reader.ts`).
 */
import type { JobEvent } from '../domain/event.ts';
import type { JobId } from '../domain/job.ts';
import { type Epoch, type Journal, JournalDropped, type LogChunk, type LogPosition } from '../engine/ports/journal.ts';
import type { Doorbell, DoorbellListener } from '../engine/ports/doorbell.ts';
import {
  EpochEnded,
  type EventLog,
  type FeedState,
  type JobsWatch,
  type JobWatch,
  type LogReader,
  type Watched,
} from '../engine/ports/event-log.ts';
import { ChunkRing } from './chunk-ring.ts';
import { closingOnce } from './closing-once.ts';
import { JobWatches } from './job-watches.ts';
import type { Junction, LiveTail } from './live-tail.ts';
import { FollowingReader } from './log-reader.ts';
import { SharedLook } from './shared-look.ts';
import { Signal } from '../engine/ports/signal.ts';
import { covers } from './snapshot-order.ts';

/** How long a lost ring can delay what it told of. */
const POLL_INTERVAL_MS = 1_000;
/** Looks in a row are at least so far apart: under load one look then brings many commits. */
const LOOK_GAP_MS = 5;
/** What the ring holds; a reader further behind reads the log. */
const RING_EVENTS = 50_000;
const RING_BYTES = 32 * 1024 * 1024;

export interface EventHubParts {
  readonly journal: Journal;
  readonly doorbell: Doorbell;
  /** Sees every event that the hub reads, before anybody is woken. */
  readonly onEvents: (events: readonly JobEvent[]) => void;
  /** An operator changed a queue, on whatever replica. */
  readonly onQueues: () => void;
  /** Reading begins at the end of the log: nobody is told of what was committed before, so whoever waits for it looks now. */
  readonly onBegin: () => void;
  /** Another replica tells progress, which `read` gives. */
  readonly onProgress?: DoorbellListener['onProgress'];
  readonly onNewEpoch: () => void;
  readonly onFailure: (error: unknown) => void;
  readonly ringEvents?: number;
}

export class EventHub implements EventLog, LiveTail {
  readonly #parts: EventHubParts;
  readonly #changed = new Signal();
  readonly #watches = new JobWatches();
  readonly #ring: ChunkRing;
  readonly #epochs: SharedLook<Epoch>;
  readonly #looks = new SharedLook(() => this.#read());
  /** The history of the database that was met last, kept while nobody wants events. */
  #epoch: Epoch | null = null;
  /** Null while nobody wants events: the hub then does not read. */
  #at: LogPosition | null = null;
  #junction: Junction | null = null;
  #interest = 0;
  /** Those of them who need not read what `committedAndTold` is called for. */
  #hearing = 0;
  /** Something was committed that nobody wanted to read of then. Whoever hears may have looked before it, and comes after it. */
  #hasUnread = false;
  /** The next look was asked for by more than a hint: it looks although nobody wants events. */
  #isAsked = false;
  #lastLook = 0;
  /** When the last look began that came to the end of the log, by the local monotonic clock. */
  #seenAt = 0;
  #followers = 0;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(parts: EventHubParts) {
    this.#parts = parts;
    this.#ring = new ChunkRing({ maxEvents: parts.ringEvents ?? RING_EVENTS, maxBytes: RING_BYTES });
    this.#epochs = new SharedLook(async () => (await parts.journal.head()).epoch);
  }

  get watchedJobs(): number {
    return this.#watches.size;
  }

  get state(): FeedState {
    const lagMs = this.#at === null ? 0 : performance.now() - this.#seenAt;
    return { watchedJobs: this.#watches.size, followers: this.#followers, lagMs };
  }

  async start(): Promise<void> {
    const { doorbell, onQueues, onProgress = () => undefined } = this.#parts;
    await doorbell.listen({ onRing: () => this.#look(), onQueues, onProgress });
    this.#timer = setInterval(() => void this.refresh().catch(this.#parts.onFailure), POLL_INTERVAL_MS);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#looks.idle();
  }

  committed(): void {
    this.#look();
    this.#parts.doorbell.ring();
  }

  committedAndTold(): void {
    if (this.#interest > this.#hearing) this.#look();
    this.#parts.doorbell.ring();
  }

  epoch(): Promise<Epoch> {
    return this.#epochs.ask();
  }

  async readFrom(start: LogPosition | 'now' | 'beginning'): Promise<LogReader> {
    const interest = this.#holdFollower();
    try {
      // A look that began after the call: what the caller has seen on any replica, the hub has seen then too.
      await this.refresh();
      if (typeof start !== 'string') await this.#parts.journal.expectRetained(start);
      return new FollowingReader(this, this.#parts.journal, startOf(start, this.junction()), interest);
    } catch (error) {
      interest.close();
      throw error;
    }
  }

  async watch(jobId: JobId, watched: Watched = 'changes'): Promise<JobWatch> {
    return this.#holdReading((close) => this.#watches.add(jobId, watched, close));
  }

  async watchMany(jobIds: readonly JobId[]): Promise<JobsWatch> {
    return this.#holdReading((close) => this.#watches.addMany(jobIds, close));
  }

  keepReading(): { close: () => void } {
    const interest = this.#hold();
    if (this.#at === null || this.#hasUnread) this.#look();
    return interest;
  }

  keepHearing(): { close: () => void } {
    const interest = this.keepReading();
    this.#hearing += 1;
    return closingOnce(() => {
      this.#hearing -= 1;
      interest.close();
    });
  }

  junction(): Junction {
    if (this.#junction === null) throw new EpochEnded();
    return this.#junction;
  }

  entry(number: number): LogChunk | 'gone' | null {
    return this.#ring.at(number);
  }

  changed(signal: AbortSignal, forMs: number): Promise<void> {
    return this.#changed.wait(signal, forMs);
  }

  /** Resolves when a look that began after this call is done. */
  refresh(): Promise<void> {
    this.#isAsked = true;
    return this.#looks.ask();
  }

  /** For one who is told what is committed from here on. */
  async #holdReading<Held>(hold: (close: () => void) => Held): Promise<Held> {
    const interest = this.#hold();
    try {
      if (this.#at === null) await this.refresh();
      return hold(interest.close);
    } catch (error) {
      interest.close();
      throw error;
    }
  }

  #hold(): { close: () => void } {
    this.#interest += 1;
    return closingOnce(() => (this.#interest -= 1));
  }

  #holdFollower(): { close: () => void } {
    const interest = this.#hold();
    this.#followers += 1;
    return closingOnce(() => {
      this.#followers -= 1;
      interest.close();
    });
  }

  #look(): void {
    if (this.#interest === 0) this.#hasUnread = true;
    // One that is still to begin sees it all, and its failure is told once, however many asked meanwhile.
    if (this.#interest === 0 || this.#stopped || this.#looks.hasNext) return;
    this.#looks.ask().catch(this.#parts.onFailure);
  }

  async #read(): Promise<void> {
    const isAsked = this.#isAsked;
    this.#isAsked = false;
    const pause = this.#lastLook + LOOK_GAP_MS - performance.now();
    if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
    this.#lastLook = performance.now();
    // Who wanted the hint has gone. Where somebody else comes soon, as claims do, he goes on from here: that is read then.
    this.#hasUnread = this.#interest === 0;
    if (this.#interest === 0) return isAsked ? this.#rest() : undefined;
    let at = this.#at ?? (await this.#beginAtEnd());
    for (;;) {
      const chunk = await this.#readOrLose(at);
      if (chunk === null || chunk.position.epoch.id !== at.epoch.id) {
        if (chunk !== null) this.#forget();
        at = await this.#beginAtEnd();
        continue;
      }
      this.#take(chunk);
      if (chunk.complete) {
        this.#seenAt = this.#lastLook;
        return;
      }
      at = chunk.position;
    }
  }

  /** Null where what comes next was dropped: this replica was away for longer than the log is kept. */
  async #readOrLose(at: LogPosition): Promise<LogChunk | null> {
    try {
      return await this.#parts.journal.read(at, null);
    } catch (error) {
      if (error instanceof JournalDropped) return null;
      throw error;
    }
  }

  /** Nobody wants what comes: the next who does begins at its own now. Another history is noticed all the same. */
  async #rest(): Promise<void> {
    this.#forget();
    this.#meet((await this.#parts.journal.head()).epoch);
  }

  /** Begins behind everything that is committed now. Whoever waits since before is woken: what came meanwhile is not read. */
  async #beginAtEnd(): Promise<LogPosition> {
    const end = await this.#parts.journal.head();
    this.#meet(end.epoch);
    this.#at = end;
    this.#seenAt = this.#lastLook;
    // Whoever kept up with the ring has not seen what lies between it and the end.
    this.#ring.clear();
    this.#junction = { position: end, entry: this.#ring.end };
    this.#watches.markAll();
    this.#parts.onBegin();
    this.#changed.fire();
    return end;
  }

  #meet(epoch: Epoch): void {
    const former = this.#epoch;
    this.#epoch = epoch;
    if (former !== null && former.id !== epoch.id) this.#parts.onNewEpoch();
  }

  #take(chunk: LogChunk): void {
    this.#at = chunk.position;
    if (chunk.events.length > 0) this.#ring.push(chunk);
    if (chunk.complete) this.#junction = { position: chunk.position, entry: this.#ring.end };
    if (chunk.events.length === 0) return;
    const events = chunk.events.map(({ event }) => event);
    this.#parts.onEvents(events);
    this.#watches.mark(events);
    this.#changed.fire();
  }

  #forget(): void {
    this.#at = null;
    this.#junction = null;
    this.#ring.clear();
  }
}

function startOf(start: LogPosition | 'now' | 'beginning', { position }: Junction): LogPosition {
  if (start === 'now') return position;
  if (start === 'beginning') return { epoch: position.epoch, seen: null, window: null };
  if (start.epoch.id !== position.epoch.id) throw new EpochEnded();
  // Seen beyond what the database knows: it was put back to an earlier state behind our back.
  const known = covers(position.seen, start.seen) && covers(position.seen, start.window?.upTo ?? null);
  if (!known) throw new EpochEnded();
  return start;
}
