/**
 * Where claims wait. A claim that finds nothing is parked in memory and holds no connection; a commit, a ring or the
 * recheck wakes its group: all who wait for the same types of the same queues are served by one statement, first come first served. Where a
 * queue bounds what a worker holds, a statement looks for all of them and gives to the first whose worker has room.
 */
import { LIMITS } from '../../domain/limits.ts';
import type { Queue, QueueName } from '../../domain/queue.ts';
import { RefusalError } from '../../domain/error.ts';
import type { Claim, Claimed } from '../engine.ts';
import type { ClaimedJob, Given, Repository } from '../ports/repository.ts';
import type { QueueDirectory } from '../queue-directory.ts';
import { turnEnd } from '../wait.ts';
import { ClaimGroups, type Group, isOpenToOffers, type OfferedLook, newWaiter, requestKey, slotOf, type Waiter } from './claim-group.ts';
import { isEvery, nothingFrom, opensInMs, waitsForPlace } from './claim-limits.ts';

/** Parked claims look again after this, should every hint have been lost. */
const RECHECK_MS = 5_000;
/** Parked claims on one replica. */
const MAX_PARKED = 50_000;
const RETRY_AFTER_MS = 1_000;

/** For those whom a commit wakes: its own callers are answered in this turn, which takes as long as the rest of the way to the database. */
const atOnce = () => Promise.resolve();

/** Of a claim that was not looked for. */
const NOTHING: Claimed = { jobs: [], decision: 'EMPTY' };
/** Of a look where none of the queues is there. */
const NO_QUEUES: Given = { jobs: [], limits: [] };

export interface ClaimDeskParts {
  readonly repository: Pick<Repository, 'claim' | 'leasesOfRequest'>;
  readonly directory: QueueDirectory;
  /** Takes back what was given to a caller who has gone; never rejects. */
  readonly giveBack: (jobs: readonly ClaimedJob[]) => Promise<void>;
  readonly onClaimed: () => void;
  /** Asked for while claims are parked: hints must come in. */
  readonly keepHearing: () => { close: () => void };
}

export class ClaimDesk {
  readonly #parts: ClaimDeskParts;
  readonly #groups = new ClaimGroups();
  /** By namespace, worker and request id: a repeated claim takes the place of the one whose answer was lost. */
  readonly #byRequest = new Map<string, Waiter>();
  #parked = 0;
  #arrivals = 0;
  #hearing: { close: () => void } | null = null;
  #draining = false;

  constructor(parts: ClaimDeskParts) {
    this.#parts = parts;
  }

  get parked(): number {
    return this.#parked;
  }

  /** Jobs as soon as there is one; EMPTY when the wait is over, the signal aborts or the service drains. */
  async claim(claim: Claim, signal: AbortSignal): Promise<Claimed> {
    if (this.#draining || signal.aborted) return NOTHING;
    if (this.#parked >= MAX_PARKED) throw new RefusalError({ kind: 'overloaded', what: 'parked claims', retryAfterMs: RETRY_AFTER_MS });
    const repeated = await this.#leasesOfRequest(claim);
    if (repeated.length > 0) return { jobs: repeated, decision: 'ASSIGNED', repeated: true };
    return this.#draining || signal.aborted ? NOTHING : this.#park(claim, signal);
  }

  /**
   * Has those who wait for this queue, and for nothing else, looked for by `look` in place of their next statement: an enqueue that may give to them.
   * Resolves once that is over; with false, and nothing was looked for, where nobody waits so. What `look` throws is told to those who wait.
   */
  offer(name: QueueName, look: OfferedLook): Promise<boolean> {
    const [group, ...others] = this.#groups.of(name);
    if (group === undefined || others.length > 0 || !isOpenToOffers(group)) return Promise.resolve(false);
    return new Promise((resolve) => {
      this.#serve(group, atOnce, (offer) => look(offer).finally(() => resolve(true)));
    });
  }

  /** These queues have something to claim. */
  wake(names: readonly QueueName[]): void {
    for (const name of names) this.#groups.of(name).forEach((group) => this.#serve(group, atOnce));
  }

  /** These queues have fewer jobs in flight: who was kept by a bound looks again. */
  freed(names: readonly QueueName[]): void {
    for (const name of names) {
      this.#groups.of(name).forEach((group) => {
        if (group.running) group.freed.add(name.name);
        else if (waitsForPlace(group, name.name)) this.#serve(group);
      });
    }
  }

  /** Any queue may have something to claim: hints were missed, or an operator changed one. */
  wakeAll(): void {
    for (const group of this.#groups.all()) this.#serve(group);
  }

  /** Answers everybody; nobody parks any more. */
  drain(): void {
    this.#draining = true;
    for (const group of this.#groups.all()) {
      for (const waiter of group.waiters) this.#leave(waiter);
    }
  }

  /** A repeated claim takes the place of the one whose answer was lost, and gets what that one was given. */
  async #leasesOfRequest(claim: Claim): Promise<readonly ClaimedJob[]> {
    const { namespace, workerId, requestId } = claim;
    if (requestId === null) return [];
    for (;;) {
      await this.#supersede(this.#byRequest.get(requestKey(claim)));
      const leases = await this.#parts.repository.leasesOfRequest(namespace, workerId, requestId);
      // One that parked while this one looked may be given jobs after the look.
      if (leases.length > 0 || !this.#byRequest.has(requestKey(claim))) return leases;
    }
  }

  async #supersede(former: Waiter | undefined): Promise<void> {
    if (former === undefined) return;
    former.superseded = true;
    this.#leave(former);
    await new Promise<void>((resolve) => former.onAnswered.push(resolve));
  }

  #park(claim: Claim, signal: AbortSignal): Promise<Claimed> {
    const group = this.#groups.find(claim);
    this.#parked += 1;
    let unpark = () => {};
    const claimed = new Promise<Claimed>((resolve, reject) => {
      const waiter = newWaiter({ claim, group, resolve, reject, arrival: (this.#arrivals += 1) });
      const timer = claim.waitMs === 0 || claim.waitMs === null ? null : setTimeout(() => this.#leave(waiter), claim.waitMs);
      const onAbort = () => {
        waiter.gone = true;
        this.#leave(waiter);
      };
      signal.addEventListener('abort', onAbort);
      if (claim.requestId !== null) this.#byRequest.set(requestKey(claim), waiter);
      unpark = () => {
        if (timer !== null) clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        this.#unpark(waiter);
      };
      group.waiters.add(waiter);
      this.#serve(group);
    });
    return claimed.finally(() => unpark());
  }

  #unpark(waiter: Waiter): void {
    waiter.group.waiters.delete(waiter);
    waiter.group.passedOver = 0;
    if (this.#byRequest.get(requestKey(waiter.claim)) === waiter) this.#byRequest.delete(requestKey(waiter.claim));
    for (const resolve of waiter.onAnswered) resolve();
    this.#parked -= 1;
    if (this.#parked === 0) this.#stopHearing();
    this.#forgetIfIdle(waiter.group);
  }

  /** Answered at once, unless a statement is giving to it right now: then with what that brings. */
  #leave(waiter: Waiter): void {
    waiter.leaving = true;
    if (waiter.served) return;
    waiter.group.waiters.delete(waiter);
    waiter.resolve(nothingFrom(waiter.group));
  }

  /** Who asks in this turn of the event loop is served by the same statement, unless somebody who is parked can be served before. */
  #serve(group: Group, gathered = turnEnd, offered: OfferedLook | null = null): void {
    group.wanted = true;
    group.passedOver = 0;
    if (group.running) return;
    group.running = true;
    void this.#run(group, gathered, offered);
  }

  async #run(group: Group, gathered: () => Promise<void>, offered: OfferedLook | null): Promise<void> {
    let look = offered;
    let hasLooked = false;
    for (let ready = gathered; group.wanted && group.waiters.size > 0; ready = turnEnd) {
      await ready();
      group.wanted = false;
      group.freed.clear();
      const [served, lookedFor] = [this.#nextSlots(group), this.#arrivals];
      try {
        const wasOneSlot = group.oneSlot;
        // Where somebody got something there may be more; where nobody did, there is nothing for the others either, unless it is the
        // workers of these that have no room.
        if (look === null ? await this.#claimFor(group, served) : await this.#takeOffer(group, served, look)) group.wanted = true;
        else if (this.#hasOthers(group, wasOneSlot ? served.length : 0)) group.wanted = true;
        else this.#dismiss(group, lookedFor);
        // A place was left while the look found none: nobody tells of it again.
        if ([...group.freed].some((name) => waitsForPlace(group, name))) this.#serve(group);
      } catch (error) {
        for (const waiter of served) {
          group.waiters.delete(waiter);
          waiter.reject(error);
        }
      }
      hasLooked ||= look === null;
      look = null;
    }
    group.running = false;
    // Only for who found nothing and stays: while there is something to claim nobody needs hints.
    if (group.waiters.size > 0) this.#hearing ??= this.#parts.keepHearing();
    // An offer is no look: what opens with time, and what nobody told of, is due when it was.
    if (hasLooked || group.waiters.size === 0) this.#scheduleRecheck(group);
    this.#forgetIfIdle(group);
  }

  #dismiss(group: Group, lookedFor: number): void {
    for (const waiter of group.waiters) if (waiter.leaving && waiter.arrival <= lookedFor) this.#leave(waiter);
  }

  /** Whether there are claims behind those that were looked for in vain; they are looked for next. */
  #hasOthers(group: Group, inVain: number): boolean {
    const passedOver = group.passedOver;
    group.passedOver = group.oneSlot ? passedOver + inVain : 0;
    return group.oneSlot ? group.passedOver < group.waiters.size : passedOver > 0;
  }

  #nextSlots(group: Group): readonly Waiter[] {
    const served: Waiter[] = [];
    let [passedOver, jobs] = [0, 0];
    for (const waiter of group.waiters) {
      if ((passedOver += 1) <= group.passedOver) continue;
      jobs += waiter.claim.maxJobs;
      const isFull = group.oneSlot ? served.length === LIMITS.claimSlots : jobs > LIMITS.claimJobs;
      if (served.length > 0 && isFull) break;
      waiter.served = true;
      served.push(waiter);
    }
    return served;
  }

  /** One statement for all of them. True when somebody got something, so that there may be more. */
  async #claimFor(group: Group, served: readonly Waiter[]): Promise<boolean> {
    const { directory, repository } = this.#parts;
    const {
      jobs: given,
      limits,
      oneSlot = false,
    } = await directory.inCurrentHistory(async (): Promise<Given> => {
      const queues = (await directory.find(group.names)).filter((queue): queue is Queue => queue !== null);
      return queues.length === 0 ? NO_QUEUES : await repository.claim(queues, served.map(slotOf), group.types, group.channel);
    });
    group.limits = limits;
    group.oneSlot = oneSlot;
    if (isEvery(group, 'MODE')) {
      // Who did not fit into this look is refused by one of their own.
      group.wanted = true;
      throw new RefusalError({ kind: 'mode_mismatch', queues: group.names.map(({ name }) => name) });
    }
    const some = given.some((jobs) => jobs.length > 0);
    served.forEach((waiter, index) => this.#answer(waiter, given[index] ?? [], some));
    if (some) this.#parts.onClaimed();
    return some;
  }

  /** False: what an enqueue did not give is told of by its commit, and there was nothing else. */
  async #takeOffer(group: Group, served: readonly Waiter[], look: OfferedLook): Promise<boolean> {
    const { jobs: given } = await look({ slots: served.map(slotOf), channel: group.channel });
    served.forEach((waiter, index) => this.#answer(waiter, given[index] ?? [], false));
    if (given.some((jobs) => jobs.length > 0)) this.#parts.onClaimed();
    return false;
  }

  /** With nothing for it though others got some, a response may have been full: it stays for the next look. */
  #answer(waiter: Waiter, jobs: readonly ClaimedJob[], some: boolean): void {
    if (jobs.length > 0) return this.#give(waiter, jobs);
    waiter.served = false;
    if (waiter.gone || waiter.superseded || this.#draining || (waiter.leaving && !some)) this.#leave(waiter);
  }

  #give(waiter: Waiter, jobs: readonly ClaimedJob[]): void {
    waiter.group.waiters.delete(waiter);
    if (waiter.superseded) waiter.resolve(NOTHING);
    else if (waiter.gone) void this.#parts.giveBack(jobs).then(() => waiter.resolve(NOTHING));
    else waiter.resolve({ jobs, decision: 'ASSIGNED' });
  }

  #stopHearing(): void {
    this.#hearing?.close();
    this.#hearing = null;
  }

  #scheduleRecheck(group: Group): void {
    if (group.recheck !== null) clearTimeout(group.recheck);
    group.recheck = group.waiters.size === 0 ? null : setTimeout(() => this.#serve(group), opensInMs(group, RECHECK_MS));
  }

  #forgetIfIdle(group: Group): void {
    if (group.running || group.waiters.size > 0 || !this.#groups.has(group)) return;
    if (group.recheck !== null) clearTimeout(group.recheck);
    this.#groups.forget(group);
  }
}
