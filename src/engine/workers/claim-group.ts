/** Claims that wait in the same way for the same types of the same queues. */
import { randomUUID } from 'node:crypto';
import { type ClaimChannel, queueKey, type QueueName } from '../../domain/queue.ts';
import type { Claim, Claimed } from '../engine.ts';
import type { QueueLimit } from '../ports/queues.ts';
import type { ClaimSlot, Given, Offer } from '../ports/repository.ts';

/** An enqueue that gives to who waits; nothing where it could not. */
export type OfferedLook = (offer: Offer) => Promise<Given>;

export interface Waiter {
  readonly claim: Claim;
  readonly group: Group;
  readonly resolve: (claimed: Claimed) => void;
  readonly reject: (error: unknown) => void;
  /** Rises with each claim that parks: a look serves who came before it. */
  readonly arrival: number;
  /** True while a statement may be giving it jobs. */
  served: boolean;
  /** Its time is up, or it only wanted one look: answered after the next statement at the latest. */
  leaving: boolean;
  /** Its caller is gone: what it is given goes back. */
  gone: boolean;
  /** Its caller asks again: what it is given is found by the repetition, which is told once it is answered. */
  superseded: boolean;
  readonly onAnswered: (() => void)[];
}

export interface Group {
  readonly key: string;
  readonly channel: ClaimChannel;
  readonly names: readonly QueueName[];
  /** Empty: any. */
  readonly types: readonly string[];
  readonly waiters: Set<Waiter>;
  running: boolean;
  wanted: boolean;
  recheck: NodeJS.Timeout | null;
  /** What the last look found to limit its queues. */
  limits: readonly QueueLimit[];
  /** The last look was for one of them: a queue bounds what a worker holds. */
  oneSlot: boolean;
  /** Of those that came first, how many the looks since it was woken found nothing for. */
  passedOver: number;
  /** Queues that have fewer jobs in flight than the look under way may have seen. */
  readonly freed: Set<string>;
}

/** Nobody is looking for them, and an enqueue into their one queue is all that they wait for. */
export function isOpenToOffers({ running, waiters, names, types, oneSlot }: Group): boolean {
  return !running && !oneSlot && waiters.size > 0 && names.length === 1 && types.length === 0;
}

export function newWaiter(told: Pick<Waiter, 'claim' | 'group' | 'resolve' | 'reject' | 'arrival'>): Waiter {
  return { ...told, served: false, leaving: told.claim.waitMs === 0, gone: false, superseded: false, onAnswered: [] };
}

export function slotOf({ claim }: Waiter): ClaimSlot {
  return {
    workerId: claim.workerId,
    maxJobs: claim.maxJobs,
    leaseDurationMs: claim.leaseDurationMs,
    startOnClaim: claim.startOnClaim,
    requestId: claim.requestId,
    secret: randomUUID(),
  };
}

export function requestKey({ namespace, workerId, requestId }: Claim): string {
  return JSON.stringify([namespace, workerId, requestId]);
}

function newGroup({ namespace, queues, types = [], channel = 'pull' }: Claim): Group {
  const names = [...queues].sort().map((name) => ({ namespace, name }));
  const sorted = [...types].sort();
  return {
    // Neither can hold a comma or a bar.
    key: `${channel}|${names.map(queueKey).join(',')}|${sorted.join(',')}`,
    channel,
    names,
    types: sorted,
    waiters: new Set(),
    running: false,
    wanted: false,
    recheck: null,
    limits: [],
    oneSlot: false,
    passedOver: 0,
    freed: new Set(),
  };
}

/** The groups that there are, by what they wait for. */
export class ClaimGroups {
  readonly #byKey = new Map<string, Group>();
  readonly #ofQueue = new Map<string, Set<Group>>();

  all(): Iterable<Group> {
    return this.#byKey.values();
  }

  /** Those that wait for this queue, among others or alone. */
  of(name: QueueName): readonly Group[] {
    return [...(this.#ofQueue.get(queueKey(name)) ?? [])];
  }

  /** The one that the claim belongs to, which springs into being. */
  find(claim: Claim): Group {
    const group = newGroup(claim);
    const found = this.#byKey.get(group.key);
    if (found !== undefined) return found;
    this.#byKey.set(group.key, group);
    for (const name of group.names) {
      const groups = this.#ofQueue.get(queueKey(name)) ?? new Set();
      this.#ofQueue.set(queueKey(name), groups.add(group));
    }
    return group;
  }

  has(group: Group): boolean {
    return this.#byKey.get(group.key) === group;
  }

  forget(group: Group): void {
    this.#byKey.delete(group.key);
    for (const name of group.names) {
      const groups = this.#ofQueue.get(queueKey(name));
      groups?.delete(group);
      if (groups?.size === 0) this.#ofQueue.delete(queueKey(name));
    }
  }
}
