/**
 * Group commit: flush at once when idle; while a statement is in flight, gather what arrives, then flush it all. No timer:
 * idle latency is one round trip, and under load one commit serves hundreds of calls.
 */
import { RefusalError } from '../domain/error.ts';
import { Fifo } from './fifo.ts';
import type { CommitObserver, Flush } from './ports/commit-observer.ts';
import { StoreError } from './ports/store-error.ts';
import { turnEnd } from './wait.ts';

/** Items of one commit, where a lane does not say fewer. */
const MAX_ITEMS = 512;
/** Bytes of one commit; a single larger item goes alone. */
const MAX_BYTES = 1024 * 1024;
/** Items that wait for their commit before callers are turned away, where a lane does not say otherwise: some seconds of work. */
const MAX_WAITING_ITEMS = 20_000;
const MAX_WAITING_BYTES = 64 * 1024 * 1024;
/** A lost race is run again so often; each time somebody else has won. */
const MAX_CONFLICTS = 10;
/** A single item that meets a locked row waits for it so often (each 250 ms), apart from the others. */
const MAX_CONTENDED = 20;
/** What met a locked row is given up after this, also where it waits behind others that did: the tries above, twice over. */
const CONTENDED_LIMIT_MS = 10_000;
/** What met a locked row is tried again in so many parts: one of 512 stands alone after the third time. */
const CONTENDED_PARTS = 8;
/** Commits that wait for locked rows at once: each holds a connection for as long as it waits. */
const MAX_BESIDE = 2;
const RETRY_AFTER_MS = 500;

/** How far items are gathered. */
export interface CommitShape {
  /** Items of one commit. Default 512. */
  readonly maxItems?: number;
  /** Commits in flight at once. Default 1: what arrives meanwhile is one commit. */
  readonly lanes?: number;
  /** Who watches the commits. Default: nobody, and nothing is measured. */
  readonly observer?: CommitObserver | undefined;
}

export interface GroupCommitOptions<Item, Outcome> extends CommitShape {
  readonly name: string;
  /** One commit for all; positional. */
  readonly commit: (items: readonly Item[]) => Promise<readonly Outcome[]>;
  readonly bytesOf: (item: Item) => number;
  /** Whose item it is: waiting items are gathered in turn from all tenants, so that none crowds out another. */
  readonly tenantOf: (item: Item) => string;
  /** Items that wait before callers are turned away. Default 20,000. */
  readonly maxWaitingItems?: number;
  /** It changes nothing: what breaks it, as a row that cannot be read, is found by halves too, so that only who asked for that fails. */
  readonly readsOnly?: boolean;
}

interface Entry<Item, Outcome> {
  readonly item: Item;
  readonly bytes: number;
  /** Local monotonic time, in milliseconds; 0 where nobody watches. */
  readonly submittedAt: number;
  /** Whatever the observer said of it. */
  readonly origin: unknown;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: unknown) => void;
}

interface Contended<Item, Outcome> {
  readonly batch: readonly Entry<Item, Outcome>[];
  readonly trials: Trials;
}

/** What a batch has met with. */
interface Trials {
  /** Tries in this shape that another one won. */
  readonly count: number;
  /** Local monotonic time, in milliseconds, at which it first met a locked row. */
  readonly contendedAt: number | null;
}

const NO_TRIALS: Trials = { count: 0, contendedAt: null };

export class GroupCommit<Item, Outcome> {
  readonly #options: GroupCommitOptions<Item, Outcome>;
  readonly #waiting = new Map<string, Fifo<Entry<Item, Outcome>>>();
  /** What met a locked row waits here, beside the lane. */
  readonly #contended: Contended<Item, Outcome>[] = [];
  #waitingItems = 0;
  #waitingBytes = 0;
  #flushing = 0;
  #beside = 0;
  readonly #idle: (() => void)[] = [];

  constructor(options: GroupCommitOptions<Item, Outcome>) {
    this.#options = options;
  }

  async submit(item: Item): Promise<Outcome> {
    this.#refuseWhenFull(1, this.#options.bytesOf(item));
    return this.#enter(item, this.#options.bytesOf(item));
  }

  /** Positional. Either all are accepted for commit or none; they may end in different commits. */
  async submitMany(items: readonly Item[]): Promise<readonly Outcome[]> {
    const sized = items.map((item) => ({ item, bytes: this.#options.bytesOf(item) }));
    const bytes = sized.reduce((sum, one) => sum + one.bytes, 0);
    this.#refuseWhenFull(items.length, bytes);
    return Promise.all(sized.map((one) => this.#enter(one.item, one.bytes)));
  }

  #refuseWhenFull(items: number, bytes: number): void {
    const { maxWaitingItems = MAX_WAITING_ITEMS } = this.#options;
    if (this.#waitingItems + items <= maxWaitingItems && this.#waitingBytes + bytes <= MAX_WAITING_BYTES) return;
    throw new RefusalError({ kind: 'overloaded', what: this.#options.name, retryAfterMs: RETRY_AFTER_MS });
  }

  #enter(item: Item, bytes: number): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const { tenantOf, observer } = this.#options;
      const tenant = tenantOf(item);
      const queue = this.#waiting.get(tenant) ?? new Fifo();
      const submittedAt = observer === undefined ? 0 : performance.now();
      queue.push({ item, bytes, submittedAt, origin: observer?.origin?.(), resolve, reject });
      this.#waiting.set(tenant, queue);
      this.#waitingItems += 1;
      this.#waitingBytes += bytes;
      if (this.#flushing === (this.#options.lanes ?? 1)) return;
      this.#flushing += 1;
      void this.#drainLane();
    });
  }

  /** Resolves when nothing waits and nothing is in flight. */
  async idle(): Promise<void> {
    while (this.#flushing > 0 || this.#beside > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #tellIdle(): void {
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** What arrives in one turn of the event loop is committed together: one read of the sockets brings many calls. */
  async #drainLane(): Promise<void> {
    for (await turnEnd(); this.#waiting.size > 0; await turnEnd()) await this.#commit(this.#gather(), NO_TRIALS);
    this.#flushing -= 1;
    this.#tellIdle();
  }

  /** One item of each tenant in turn; who was served goes to the end of the line. */
  #gather(): Entry<Item, Outcome>[] {
    const { maxItems = MAX_ITEMS } = this.#options;
    const batch: Entry<Item, Outcome>[] = [];
    let bytes = 0;
    for (const [tenant, queue] of this.#waiting) {
      const next = queue.first;
      if (next !== undefined && (batch.length === maxItems || (batch.length > 0 && bytes + next.bytes > MAX_BYTES))) break;
      this.#waiting.delete(tenant);
      if (next === undefined) continue;
      queue.take();
      batch.push(next);
      bytes += next.bytes;
      this.#waitingItems -= 1;
      this.#waitingBytes -= next.bytes;
      // Set again during iteration, a map visits it again: that is the turn after all others.
      if (queue.size > 0) this.#waiting.set(tenant, queue);
    }
    return batch;
  }

  async #commit(batch: readonly Entry<Item, Outcome>[], trials: Trials): Promise<void> {
    try {
      const outcomes = await this.#watched(batch);
      if (outcomes.length !== batch.length) throw new Error(`${this.#options.name}: ${outcomes.length} outcomes for ${batch.length} items`);
      const answers = outcomes.values();
      for (const entry of batch) {
        const answer = answers.next();
        if (!answer.done) entry.resolve(answer.value);
      }
    } catch (error) {
      await this.#recover(batch, error, trials);
    }
  }

  async #watched(batch: readonly Entry<Item, Outcome>[]): Promise<readonly Outcome[]> {
    const { name, commit, observer } = this.#options;
    const send = () => commit(batch.map(({ item }) => item));
    const observation = observer?.begin(flushOf(name, batch)) ?? null;
    if (observation === null) return send();
    try {
      const outcomes = await (observation.run === undefined ? send() : observation.run(send));
      observation.end(null);
      return outcomes;
    } catch (error) {
      observation.end(error);
      throw error;
    }
  }

  /** The batch did nothing, or nobody knows: what knows that it did nothing may be tried in another shape. */
  async #recover(batch: readonly Entry<Item, Outcome>[], error: unknown, trials: Trials): Promise<void> {
    const kind = error instanceof StoreError ? error.kind : 'broken';
    if (kind === 'conflict' && trials.count < MAX_CONFLICTS) return this.#commit(batch, { ...trials, count: trials.count + 1 });
    if (kind === 'contended' && trials.count < MAX_CONTENDED) return this.#commitBeside(batch, trials);
    const isOfOne = kind === 'bad_item' || (kind === 'broken' && this.#options.readsOnly === true);
    if (isOfOne && batch.length > 1) return this.#commitHalves(batch);
    for (const entry of batch) entry.reject(error);
  }

  /** One of them is what the database refuses: halves find it, and the others get through. */
  async #commitHalves(batch: readonly Entry<Item, Outcome>[]): Promise<void> {
    const middle = Math.ceil(batch.length / 2);
    await this.#commit(batch.slice(0, middle), NO_TRIALS);
    await this.#commit(batch.slice(middle), NO_TRIALS);
  }

  /** One of them waits for a locked row: the lane goes on, and beside it the parts set the strangers free. */
  #commitBeside(batch: readonly Entry<Item, Outcome>[], { count, contendedAt }: Trials): void {
    const size = Math.ceil(batch.length / CONTENDED_PARTS);
    const trials = { count: batch.length === 1 ? count + 1 : 0, contendedAt: contendedAt ?? performance.now() };
    for (let from = 0; from < batch.length; from += size) this.#contended.push({ batch: batch.slice(from, from + size), trials });
    this.#waitingItems += batch.length;
    this.#waitingBytes += bytesOf(batch);
    while (this.#beside < MAX_BESIDE && this.#contended.length > 0) void this.#drainBeside();
  }

  async #drainBeside(): Promise<void> {
    this.#beside += 1;
    for (let next = this.#contended.shift(); next !== undefined; next = this.#contended.shift()) {
      this.#waitingItems -= next.batch.length;
      this.#waitingBytes -= bytesOf(next.batch);
      if (isOverdue(next.trials)) for (const entry of next.batch) entry.reject(new StoreError('contended', 'rows stayed locked'));
      else await this.#commit(next.batch, next.trials);
    }
    this.#beside -= 1;
    this.#tellIdle();
  }
}

function flushOf(lane: string, batch: readonly { readonly submittedAt: number; readonly origin: unknown }[]): Flush {
  const sentAt = performance.now();
  return {
    lane,
    items: batch.length,
    waitsMs: batch.map(({ submittedAt }) => sentAt - submittedAt),
    origins: batch.map(({ origin }) => origin),
  };
}

function isOverdue({ contendedAt }: Trials): boolean {
  return contendedAt !== null && performance.now() - contendedAt > CONTENDED_LIMIT_MS;
}

function bytesOf(batch: readonly { readonly bytes: number }[]): number {
  return batch.reduce((sum, { bytes }) => sum + bytes, 0);
}
