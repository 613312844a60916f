/** Claims that wait in the same way for the same types of the same queues. */
import { randomUUID } from 'node:crypto';
import { type ClaimChannel, queueKey, type QueueName } from '../../domain/queue.ts';
import type { Claim, Claimed } from '../engine.ts';
import type { QueueLimit } from '../ports/queues.ts';
import type { ClaimSlot } from '../ports/repository.ts';

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

export function newGroup({ namespace, queues, types = [], channel = 'pull' }: Claim): Group {
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
