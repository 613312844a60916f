import { setTimeout as pause } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { statusOf } from '../../examples/call.ts';
import type { Event } from '../../gen/stint/v1/event.ts';
import type { SubscribeRequest, SubscribeResponse } from '../../gen/stint/v1/event_service.ts';
import type { Follower, Stint } from '../contract/stint.ts';

/** What a reader follows, and which of all events that is. */
export interface View {
  readonly name: string;
  readonly scope: SubscribeRequest['scope'];
  readonly types: readonly string[];
  readonly wants: (event: Event) => boolean;
  /** Whether its reader goes on from earlier cursors too: what was missed is made good then, so others go forward only. */
  readonly goesBack?: boolean;
}

export const keyOf = ({ jobId, sequence }: Event): string => `${jobId}/${sequence}`;

/** What may end a stream while replicas come and go and the reader itself leaves. */
const PASSING: readonly (number | null)[] = [status.CANCELLED, status.UNAVAILABLE, status.DEADLINE_EXCEEDED];
const LONGEST_STAY_MS = 500;
const AFTER_FAILURE_MS = 30;
const EARLIER_CURSOR = 0.15;

/** A subscriber who leaves and comes back all the time, on any replica, from its last cursor or from an earlier one. */
export class StormReader {
  readonly view: View;
  /** What ended a stream and should not have. */
  readonly faults: string[] = [];
  readonly #stints: readonly Stint[];
  readonly #namespace: string;
  readonly #random: () => number;
  #events: Event[] = [];
  /** Each cursor with the number of events that the reader had with it. */
  #cursors: { readonly cursor: string; readonly events: number }[] = [];
  streams = 0;

  constructor(stints: readonly Stint[], namespace: string, view: View, random: () => number) {
    this.#stints = stints;
    this.#namespace = namespace;
    this.view = view;
    this.#random = random;
  }

  get events(): readonly Event[] {
    return this.#events;
  }

  async runWhile(going: () => boolean): Promise<void> {
    while (going()) {
      if (this.view.goesBack === true && this.#random() < EARLIER_CURSOR) this.#goBack();
      await this.#read(this.#random() * LONGEST_STAY_MS);
    }
  }

  /** Reads on until it has so many events, or the time is up. */
  async untilCount(count: number, withinMs: number): Promise<void> {
    const deadline = performance.now() + withinMs;
    while (this.#events.length < count && performance.now() < deadline) await this.#read(2 * LONGEST_STAY_MS);
  }

  /** To an earlier cursor, forgetting what came after it. */
  #goBack(): void {
    const at = Math.floor(this.#random() * this.#cursors.length);
    this.#cursors = this.#cursors.slice(0, at + 1);
    this.#events = this.#events.slice(0, this.#cursors.at(-1)?.events ?? 0);
  }

  async #read(stayMs: number): Promise<void> {
    const stint = this.#stints[Math.floor(this.#random() * this.#stints.length)];
    const cursor = this.#cursors.at(-1)?.cursor;
    const follower = stint?.subscribe({
      namespace: this.#namespace,
      scope: this.view.scope,
      types: [...this.view.types],
      start: cursor === undefined ? { $case: 'fromBeginning', fromBeginning: {} } : { $case: 'cursor', cursor },
    });
    this.streams += 1;
    let failed = false;
    const leave = setTimeout(() => follower?.cancel(), stayMs);
    try {
      while (follower !== undefined && !this.#take(await follower.next()));
    } catch (error) {
      failed = statusOf(error) !== status.CANCELLED;
      if (!PASSING.includes(statusOf(error))) this.faults.push(`${this.view.name}: ${String(error)}`);
    }
    clearTimeout(leave);
    follower?.cancel();
    if (failed) await pause(AFTER_FAILURE_MS);
  }

  /** True for the last message of a stream. */
  #take({ events, cursor, reconnect }: SubscribeResponse): boolean {
    this.#events.push(...events);
    if (cursor !== '') this.#cursors.push({ cursor, events: this.#events.length });
    return reconnect !== undefined;
  }
}

/** A subscriber of everything who stays. */
export class StandingReader {
  readonly events: Event[] = [];
  /** Why the stream ended, which it should not. */
  fault: unknown = null;
  readonly #follower: Follower<SubscribeResponse>;
  readonly #over: Promise<void>;

  constructor(stint: Stint, namespace: string, withinMs: number) {
    this.#follower = stint.subscribe(
      {
        namespace,
        scope: { $case: 'everything', everything: {} },
        start: { $case: 'fromBeginning', fromBeginning: {} },
      },
      withinMs,
    );
    this.#over = this.#read();
  }

  async leave(): Promise<void> {
    this.#follower.cancel();
    await this.#over;
  }

  async #read(): Promise<void> {
    try {
      for (;;) this.events.push(...(await this.#follower.next()).events);
    } catch (error) {
      if (statusOf(error) !== status.CANCELLED) this.fault = error;
    }
  }
}
