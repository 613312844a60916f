/**
 * A worker's one stream: claims as long as its worker has credits, settles and renews what it is asked to, and tells what
 * happens to the jobs it holds. A claim of it waits beside those of `Claim`, so push and poll share one backlog and one order.
 */
import type { JobEvent } from '../../domain/event.ts';
import type { Micros } from '../../domain/job.ts';
import type { Ending } from '../ending.ts';
import type { Claim, Claimed } from '../engine.ts';
import type { Beat, Settled, Settlement } from '../workers/words.ts';
import type { GroupCommit } from '../group-commit.ts';
import type { LeaseLook, WorkedQueue } from '../ports/work.ts';
import type { ClaimedJob, HeartbeatItem } from '../ports/repository.ts';
import type { HeartbeatOutcome, SettleItem } from '../ports/leases.ts';
import { Signal } from '../ports/signal.ts';
import { firstOf } from '../wait.ts';
import type { HeartbeatParts } from '../workers/hold.ts';
import { type HeldIndex, type HeldJob, HeldJobs, isLost, isOver } from './held-jobs.ts';
import { Keeper, type KeeperParts } from './keeper.ts';
import { Outbox } from './outbox.ts';
import { isPassing, RETRY_MS, settledOrRefused, untilAnswered } from './store-outage.ts';
import { pushedClaim } from './pushed-claim.ts';
import { leaseMsOf, type OpenWork, type WorkMessage, type WorkSession } from './work.ts';

/** Heartbeats of a lease's duration: a third of it is told as the interval. */
const BEATS_OF_LEASE = 3;
/** A lease that its worker does not list for so many intervals is given up. */
const UNLISTED_INTERVALS = 2;

export interface SessionParts extends KeeperParts {
  /** Gathers what all sessions ask for. */
  readonly looks: GroupCommit<SettleItem, LeaseLook>;
  readonly claim: (claim: Claim, signal: AbortSignal) => Promise<Claimed>;
  /** Takes back what was claimed for a worker who has gone; never rejects. */
  readonly giveBack: (jobs: readonly ClaimedJob[]) => Promise<void>;
  readonly settle: (settlements: readonly Settlement[]) => Promise<readonly Settled[]>;
  readonly heartbeat: (beats: readonly Beat[], renew: HeartbeatParts['renew']) => Promise<readonly HeartbeatOutcome[]>;
  /** Leases were given up: they end now. */
  readonly onDropped: () => void;
}

export class Session implements WorkSession {
  readonly #parts: SessionParts;
  readonly #open: OpenWork;
  readonly #held: HeldJobs;
  readonly #keeper: Keeper;
  readonly #outbox = new Outbox<WorkMessage>();
  readonly #roomy = new Signal();
  /** Aborts when nothing is to be assigned any more. */
  readonly #assigned = new AbortController();
  /** Aborts the claim that waits, when there is no room for what it would bring. */
  #claiming = new AbortController();
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #draining = new Set<string>();
  #beating: Promise<void> = Promise.resolve();
  /** Of which `opened` tells a third. */
  readonly #toldMs: number;
  #credits: number;
  #leaseMs: number;
  #isEnding = false;

  constructor(
    parts: SessionParts,
    { open, queues, index }: { open: OpenWork; queues: readonly WorkedQueue[]; index: (session: Session) => HeldIndex },
  ) {
    this.#parts = parts;
    this.#open = open;
    this.#held = new HeldJobs(index(this));
    this.#keeper = new Keeper(parts);
    this.#credits = open.credits;
    this.#leaseMs = leaseMsOf(open, queues);
    this.#toldMs = this.#leaseMs;
  }

  get messages(): AsyncIterable<WorkMessage> {
    return this.#outbox;
  }

  /** Where it works. */
  get queues(): Pick<OpenWork, 'namespace' | 'queues'> {
    return this.#open;
  }

  /** Until the session is over, and what was claimed for it and not taken is back. */
  async run(sessionId: string, queues: readonly WorkedQueue[], gone: AbortSignal): Promise<void> {
    const onGone = () => this.#leave();
    gone.addEventListener('abort', onGone, { once: true });
    if (gone.aborted) onGone();
    void this.#outbox.put({ kind: 'opened', sessionId, heartbeatIntervalMs: this.#leaseMs / BEATS_OF_LEASE });
    this.onQueues(queues);
    try {
      await this.#assign();
    } catch (error) {
      this.fail(error);
    } finally {
      gone.removeEventListener('abort', onGone);
    }
    await Promise.allSettled(this.#underWay);
    this.#held.close();
  }

  get isOver(): boolean {
    return this.#outbox.isEnded;
  }

  setCredits(credits: number): void {
    this.#credits = credits;
    this.#onRoom();
  }

  settle(id: string, settlements: readonly Settlement[]): Promise<void> {
    return this.#tracked(this.#settle(id, settlements));
  }

  /** One after the other: what answers one does not name it. */
  heartbeat(beats: readonly Beat[]): Promise<void> {
    this.#beating = this.#beating.then(() => this.#heartbeat(beats));
    return this.#tracked(this.#beating);
  }

  async #settle(id: string, settlements: readonly Settlement[]): Promise<void> {
    const tokens = settlements.map((one) => (one.kind === 'refused' ? null : one.token));
    const held = tokens.map((token) => (token === null ? null : this.#held.of(token)));
    for (const one of held) if (one !== null) one.isSettling = true;
    const results = await settledOrRefused(this.#parts.settle, settlements).finally(() => {
      for (const one of held) if (one !== null) one.isSettling = false;
    });
    results.forEach((result, index) => {
      const one = held[index] ?? null;
      if (one === null) return;
      if (isLost(result)) this.#forget(one);
      else if (isOver(result)) this.#held.remove(one.token);
    });
    this.#roomy.fire();
    await this.#outbox.put({ kind: 'settled', id, results });
  }

  async #heartbeat(beats: readonly Beat[]): Promise<void> {
    const renew = (items: readonly HeartbeatItem[]) => this.#keeper.renew(items, this.#leaseMs);
    const outcomes = await this.#parts.heartbeat(beats, renew);
    const now = performance.now();
    outcomes.forEach((outcome, index) => this.#onBeat(beats[index], outcome, now));
    await this.#dropUnlisted(now);
    this.#onRoom();
    await this.#outbox.put({ kind: 'heartbeat', outcomes });
  }

  finish(): void {
    this.#assigned.abort();
    this.#outbox.end();
  }

  fail(cause: unknown): void {
    this.#assigned.abort();
    this.#outbox.fail(cause);
  }

  /** Answers what is under way, says why, and ends. Once: the first reason is the one that is told. */
  async reconnect(reason: Ending): Promise<void> {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#assigned.abort();
    await Promise.allSettled(this.#underWay);
    await this.#outbox.put({ kind: 'reconnect', reason });
    this.#outbox.end();
  }

  /** Something happened to a job that is held here. */
  onEvent({ jobId, fence, detail, state }: JobEvent): void {
    const held = this.#held.get(jobId);
    if (held === null || held.isSettling || fence < held.token.fence) return;
    if (detail.type === 'cancel_requested') this.#tellToCancel(held, detail.cancelDeadline);
    else if (fence > held.token.fence || (state !== 'LEASED' && state !== 'RUNNING')) void this.#lookAt(held);
  }

  /** Events were missed. */
  lookAgain(): void {
    for (const held of this.#held.all()) void this.#lookAt(held);
  }

  /** How its queues are, after an operator changed one. */
  onQueues(queues: readonly WorkedQueue[]): void {
    // Its worker goes by the interval that it was told.
    this.#leaseMs = Math.max(this.#toldMs, leaseMsOf(this.#open, queues));
    for (const { name, isDraining } of queues) {
      if (!isDraining) this.#draining.delete(name);
      else if (!this.#draining.has(name)) {
        this.#draining.add(name);
        void this.#outbox.put({ kind: 'drain', queue: name });
      }
    }
  }

  async #assign(): Promise<void> {
    const over = this.#assigned.signal;
    while (!over.aborted) {
      if (this.#room() <= 0) {
        await this.#roomy.wait(over);
        continue;
      }
      const jobs = await this.#claim(over);
      if (jobs.length === 0) continue;
      for (const job of jobs) this.#held.add(job);
      if (!(await this.#outbox.put({ kind: 'assigned', jobs }))) await this.#parts.giveBack(jobs);
    }
  }

  /** Waits until there is any; empty where the session is over or its worker wants none any more. */
  async #claim(over: AbortSignal): Promise<readonly ClaimedJob[]> {
    if (this.#claiming.signal.aborted) this.#claiming = new AbortController();
    using wait = firstOf([over, this.#claiming.signal]);
    try {
      return (
        await this.#parts.claim(
          pushedClaim(this.#open, this.#leaseMs, () => this.#room()),
          wait.signal,
        )
      ).jobs;
    } catch (error) {
      if (!isPassing(error)) throw error;
      await new Signal().wait(wait.signal, RETRY_MS);
      return [];
    }
  }

  #room(): number {
    return this.#credits - this.#held.size;
  }

  /** There may be more, or none for what a claim that waits would bring. */
  #onRoom(): void {
    if (this.#room() > 0) this.#roomy.fire();
    else this.#claiming.abort();
  }

  #onBeat(beat: Beat | undefined, outcome: HeartbeatOutcome, now: number): void {
    const token = beat?.token ?? null;
    if (token === null) return;
    // It may have been settled while the beat was on its way.
    const adopted = outcome.kind === 'renewed' ? this.#held.adopt(token) : null;
    if (adopted !== null) void this.#lookAt(adopted);
    const held = this.#held.of(token);
    if (held === null) return;
    if (outcome.kind === 'lease_lost') {
      this.#forget(held);
      return;
    }
    held.listedAt = now;
    // The answer tells it.
    if (outcome.cancelDeadline !== null) held.isToldToCancel = true;
  }

  /** What the worker has forgotten goes to somebody else soon. */
  async #dropUnlisted(now: number): Promise<void> {
    const limitMs = (UNLISTED_INTERVALS * this.#leaseMs) / BEATS_OF_LEASE;
    const unlisted = [...this.#held.all()].filter(({ listedAt, isSettling }) => !isSettling && now - listedAt >= limitMs);
    if (unlisted.length === 0) return;
    const dropped = await this.#keeper.drop(unlisted.map(({ token }) => token));
    unlisted.forEach((held, index) => {
      this.#held.remove(held.token);
      if (dropped[index] === true) void this.#outbox.put({ kind: 'lease_lost', leaseToken: held.leaseToken, reason: 'EXPIRED' });
    });
    if (dropped.includes(true)) this.#parts.onDropped();
  }

  async #lookAt(held: HeldJob): Promise<void> {
    const look = await this.#tracked(untilAnswered(() => this.#parts.looks.submit({ token: held.token }), this.#assigned.signal));
    if (look === null || held.isSettling || this.#held.of(held.token) === null) return;
    const { leaseToken } = held;
    if (look.kind === 'lease_lost') {
      this.#forget(held);
      this.#roomy.fire();
      // What its holder settled elsewhere, the holder knows.
      if (look.reason !== 'SETTLED') void this.#outbox.put({ kind: 'lease_lost', leaseToken, reason: look.reason });
    } else if (look.cancelDeadline !== null) this.#tellToCancel(held, look.cancelDeadline);
  }

  /** Its worker takes it for lost. */
  #forget({ token }: HeldJob): void {
    this.#held.remove(token);
    void this.#tracked(this.#keeper.forget(token));
  }

  #tellToCancel(held: HeldJob, cancelDeadline: Micros): void {
    if (held.isToldToCancel) return;
    held.isToldToCancel = true;
    void this.#outbox.put({ kind: 'cancel', leaseToken: held.leaseToken, cancelDeadline });
  }

  #leave(): void {
    this.#assigned.abort();
    this.#outbox.close();
  }

  #tracked<Value>(work: Promise<Value>): Promise<Value> {
    this.#underWay.add(work);
    const forget = () => void this.#underWay.delete(work);
    work.then(forget, forget);
    return work;
  }
}
