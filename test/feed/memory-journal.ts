import { randomUUID } from 'node:crypto';
import type { JobEvent } from '../../src/domain/event.ts';
import { parseJobId, type JobId } from '../../src/domain/job.ts';
import { JournalDropped, snapshotXmax, type Epoch, type Journal, type LogChunk, type LogPosition } from '../../src/engine/ports/journal.ts';

export function jobId(number: number): JobId {
  const id = parseJobId(`01a1fb78-2df1-7000-8000-${String(number).padStart(12, '0')}`);
  if (id === null) throw new Error('not a job id');
  return id;
}

export function event(job: number, partial: Partial<JobEvent> = {}): JobEvent {
  return {
    namespace: 'n',
    queue: 'q',
    jobId: jobId(job),
    sequence: 1,
    occurredAt: 0,
    life: 1,
    attempt: 0,
    fence: 0n,
    state: 'READY',
    workerId: '',
    detail: { type: 'ready' },
    ...partial,
  };
}

/** A log in memory, one row a commit, in the order of commits; `rowsAtOnce` of them a read. */
export class MemoryJournal implements Journal {
  readonly #rows: (readonly JobEvent[])[] = [];
  readonly #rowsAtOnce: number;
  epoch: Epoch = { number: 1, id: randomUUID() };
  /** Thrown by every read until it is null again. */
  failure: Error | null = null;
  heads = 0;
  reads = 0;
  /** The most reads that were ever under way together. */
  readsAtOnce = 0;
  #reading = 0;
  /** Rows that have left. */
  #dropped = 0;

  constructor(rowsAtOnce = 32) {
    this.#rowsAtOnce = rowsAtOnce;
  }

  commit(...events: readonly JobEvent[]): void {
    this.#rows.push(events);
  }

  /** All that was committed so far leaves. */
  drop(): void {
    this.#dropped = this.#rows.length;
  }

  beginEpoch(): void {
    this.epoch = { number: this.epoch.number + 1, id: randomUUID() };
  }

  async head(): Promise<LogPosition> {
    this.heads += 1;
    await this.#answer();
    return { epoch: this.epoch, seen: this.#snapshot(), window: null };
  }

  async read(position: LogPosition, upTo: string | null): Promise<LogChunk> {
    this.reads += 1;
    this.#reading += 1;
    this.readsAtOnce = Math.max(this.readsAtOnce, this.#reading);
    await this.#answer().finally(() => (this.#reading -= 1));
    this.#expectKept(position);
    const bound = position.window?.upTo ?? upTo ?? this.#snapshot();
    const from = position.window?.from.n ?? rowsIn(position.seen);
    const numbered = this.#rows.map((events, n) => ({ events, n })).slice(from, Math.min(rowsIn(bound), from + this.#rowsAtOnce));
    const complete = numbered.length < this.#rowsAtOnce;
    const next = { epoch: this.epoch.number, n: from + numbered.length, offset: 0 };
    return {
      events: numbered.flatMap(({ events, n }) =>
        events.map((one) => ({ event: one, next: { epoch: this.epoch.number, n: n + 1, offset: 0 } })),
      ),
      seenBefore: position.seen,
      upTo: bound,
      complete,
      position: complete
        ? { epoch: this.epoch, seen: bound, window: null }
        : { epoch: this.epoch, seen: position.seen, window: { upTo: bound, from: next } },
    };
  }

  async expectRetained(position: LogPosition): Promise<void> {
    await this.#answer();
    this.#expectKept(position);
  }

  /** A position that has seen nothing begins with whatever there is. */
  #expectKept({ seen, window }: LogPosition): void {
    if (seen === null && window === null) return;
    if ((window?.from.n ?? rowsIn(seen)) < this.#dropped) throw new JournalDropped();
  }

  async #answer(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (this.failure !== null) throw this.failure;
  }

  #snapshot(): string {
    return `1:${this.#rows.length + 1}:`;
  }
}

function rowsIn(snapshot: string | null): number {
  return snapshot === null ? 0 : Number(snapshotXmax(snapshot)) - 1;
}
