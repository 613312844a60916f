import { parseJobId } from '../../src/domain/job.ts';
import { formatLeaseToken } from '../../src/domain/lease.ts';
import { queueKey, type Queue } from '../../src/domain/queue.ts';
import type { Claim, Claimed } from '../../src/engine/engine.ts';
import type { QueueLimit } from '../../src/engine/ports/queues.ts';
import type { ClaimedJob, ClaimSlot, Given } from '../../src/engine/ports/repository.ts';
import { QueueDirectory } from '../../src/engine/queue-directory.ts';
import { ClaimDesk } from '../../src/engine/workers/claim-desk.ts';
import { settled } from './lane.ts';

export const NOTHING: Claimed = { jobs: [], decision: 'EMPTY' };
export const workersOf = (claimed: Claimed) => claimed.jobs.map(({ job }) => job.workerId);
export const workers = (count: number) => Array.from({ length: count }, (_, index) => `w${index}`);

function claimOf(told: Partial<Claim> = {}): Claim {
  return {
    namespace: 'n',
    workerId: 'w',
    queues: ['q'],
    maxJobs: 1,
    waitMs: 30_000,
    leaseDurationMs: null,
    startOnClaim: true,
    requestId: null,
    ...told,
  };
}

/** A claim statement that has been sent and waits for the test to answer it. */
export interface Look {
  readonly queues: readonly string[];
  readonly types: readonly string[];
  /** Who is served, in order. */
  readonly workers: readonly string[];
  /** So many jobs for each of them. */
  find(...counts: number[]): void;
  crash(error: unknown): void;
}

/** A claim desk whose every statement the test answers by hand. Queue `q` is there, others once they are made. */
export class Desk {
  readonly queues = new Set(['n/q']);
  readonly givenBack: ClaimedJob[] = [];
  /** Leases found under each request id. */
  readonly leases = new Map<string, readonly ClaimedJob[]>();
  /** What the search for the leases of a request waits for. */
  searching: Promise<void> = Promise.resolve();
  /** What giving back waits for. */
  givingBack: Promise<void> = Promise.resolve();
  /** What each look finds to limit its queues. */
  limits: readonly QueueLimit[] = [];
  /** Whether each look finds that a queue bounds what a worker holds. */
  oneSlot = false;
  readers = 0;
  claimsTold = 0;
  readonly #sent: Look[] = [];
  readonly #waiting: ((look: Look) => void)[] = [];
  readonly desk: ClaimDesk;

  constructor() {
    const resolveQueues = async (names: readonly { readonly namespace: string; readonly name: string }[]) =>
      names.map((name) => (this.queues.has(queueKey(name)) ? queueOf(name.name) : null));
    this.desk = new ClaimDesk({
      repository: {
        claim: (queues, slots, types = []) =>
          new Promise((resolve, reject) => this.#depart({ queues: queues.map(({ name }) => name), types }, slots, resolve, reject)),
        leasesOfRequest: async (_namespace, _worker, requestId) => {
          await this.searching;
          return this.leases.get(requestId) ?? [];
        },
      },
      directory: new QueueDirectory({ resolveQueues, createQueues: async () => [] }),
      giveBack: async (jobs) => {
        await this.givingBack;
        this.givenBack.push(...jobs);
      },
      onClaimed: () => (this.claimsTold += 1),
      keepHearing: () => {
        this.readers += 1;
        return { close: () => (this.readers -= 1) };
      },
    });
  }

  claim(told: Partial<Claim> = {}, signal: AbortSignal = new AbortController().signal) {
    return this.desk.claim(claimOf(told), signal);
  }

  wake(...names: string[]): void {
    this.desk.wake(names.map((name) => ({ namespace: 'n', name })));
  }

  /** The next statement, in the order they were sent. */
  look(): Promise<Look> {
    const sent = this.#sent.shift();
    return sent === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(sent);
  }

  /** Statements that were sent and not looked at. */
  get unseen(): number {
    return this.#sent.length;
  }

  /** Claims that have all looked once, found nothing, and wait; in this order. */
  async park(workerIds: readonly string[], told: Partial<Claim> = {}): Promise<Promise<Claimed>[]> {
    const claims = workerIds.map((workerId) => this.claim({ ...told, workerId }));
    await settled();
    while (this.unseen > 0) {
      (await this.look()).find();
      await settled();
    }
    return claims;
  }

  #depart(
    asked: Pick<Look, 'queues' | 'types'>,
    slots: readonly ClaimSlot[],
    resolve: (given: Given) => void,
    reject: (error: unknown) => void,
  ): void {
    const look: Look = {
      ...asked,
      workers: slots.map(({ workerId }) => workerId),
      find: (...counts) => {
        const jobs = slots.map((slot, index) => Array.from({ length: counts[index] ?? 0 }, () => claimedJob(slot.workerId)));
        resolve({ jobs, limits: this.limits, oneSlot: this.oneSlot });
      },
      crash: reject,
    };
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#sent.push(look);
    else waiting(look);
  }
}

function queueOf(name: string): Queue {
  return {
    id: 1,
    epoch: 1,
    namespace: 'n',
    name,
  };
}

let minted = 0;

/** A job as the repository would hand it to `workerId`. */
export function claimedJob(workerId: string): ClaimedJob {
  const jobId = parseJobId(`01980000-0000-7000-8000-${(minted += 1).toString(16).padStart(12, '0')}`);
  if (jobId === null) throw new Error('no job id');
  const secret = '00000000-0000-4000-8000-000000000000';
  return {
    job: {
      namespace: 'n',
      queue: 'q',
      jobId,
      type: '',
      state: 'RUNNING',
      priority: 0,
      life: 1,
      attempt: 1,
      maxAttempts: 10,
      fence: 1n,
      runAt: null,
      createdAt: 0,
      startedAt: 0,
      finishedAt: null,
      lastSequence: 3,
      contentType: '',
      result: null,
      resultContentType: '',
      failure: null,
      idempotencyKey: '',
      concurrencyKey: '',
      fairnessKey: '',
      labels: {},
      headers: {},
      workerId,
      leaseExpiresAt: 0,
      disposition: 'RERUNNABLE',
      asked: null,
    },
    payload: new Uint8Array(),
    lease: {
      leaseToken: formatLeaseToken({ shard: 0, jobId, fence: 1n, secret }),
      attempt: 1,
      fence: 1n,
      expiresAt: 0,
      ttlMs: 30_000,
      heartbeatIntervalMs: 10_000,
    },
    checkpoint: null,
  };
}
