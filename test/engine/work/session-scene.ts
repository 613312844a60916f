import type { JobEvent } from '../../../src/domain/event.ts';
import type { JobId } from '../../../src/domain/job.ts';
import { type LeaseToken, parseLeaseToken } from '../../../src/domain/lease.ts';
import type { Claim, Claimed } from '../../../src/engine/engine.ts';
import { GroupCommit } from '../../../src/engine/group-commit.ts';
import type { HeartbeatOutcome, SettleItem } from '../../../src/engine/ports/leases.ts';
import type { ClaimedJob, HeartbeatItem } from '../../../src/engine/ports/repository.ts';
import type { DropItem, LeaseLook, SessionBeat, SessionBeaten, WorkedQueue } from '../../../src/engine/ports/work.ts';
import { Session, type SessionParts } from '../../../src/engine/work/session.ts';
import type { OpenWork, WorkMessage } from '../../../src/engine/work/work.ts';
import type { Beat, Settled, Settlement } from '../../../src/engine/workers/words.ts';
import { claimedJob } from '../desk.ts';
import { settled } from '../lane.ts';
import { Calls } from './calls.ts';

export const LEASE_MS = 30_000;

export const openOf = (told: Partial<OpenWork> = {}): OpenWork => ({
  ...{ namespace: 'n', workerId: 'w', queues: ['q'], types: [], credits: 1, leaseDurationMs: null },
  ...told,
});

export const queueOf = (told: Partial<WorkedQueue> = {}): WorkedQueue => ({
  ...{ name: 'q', leaseDurationMs: LEASE_MS, isPullOnly: false, isDraining: false },
  ...told,
});

export function tokenOf({ lease }: ClaimedJob): LeaseToken {
  const token = parseLeaseToken(lease.leaseToken);
  if (token === null) throw new Error('no lease token');
  return token;
}

export const jobs = (count: number): ClaimedJob[] => Array.from({ length: count }, () => claimedJob('w'));
export const beatOf = (job: ClaimedJob): Beat => ({ token: tokenOf(job), checkpoint: null });
export const ackOf = (job: ClaimedJob): Settlement => ({ kind: 'ack', token: tokenOf(job), result: new Uint8Array(), contentType: '' });
export const acked = ({ job }: ClaimedJob): Settled => ({ kind: 'ack', job, outcome: 'APPLIED' });
export const lost: Settled = { kind: 'refused', refusal: { kind: 'lease_lost' } };
export const renewed: Extract<HeartbeatOutcome, { readonly kind: 'renewed' }> = {
  ...{ kind: 'renewed', expiresAt: 0, ttlMs: LEASE_MS, cancelDeadline: null, draining: false },
};

/** Of a job in hand, under the fence of its lease where no other is told. */
export function eventOf({ job }: ClaimedJob, told: Pick<JobEvent, 'detail' | 'state'> & Partial<JobEvent>): JobEvent {
  const { namespace, queue, jobId, life, attempt, fence, workerId } = job;
  return { ...{ namespace, queue, jobId, life, attempt, fence, workerId, sequence: 9, occurredAt: 0 }, ...told };
}

/** What sessions ask for, answered by hand. */
export class Parts implements SessionParts {
  readonly claims = new Calls<{ readonly claim: Claim; readonly maxJobs: number; readonly signal: AbortSignal }, Claimed>();
  readonly settlements = new Calls<readonly Settlement[], readonly Settled[]>();
  readonly beaten = new Calls<readonly Beat[], readonly HeartbeatOutcome[]>();
  readonly lookedAt = new Calls<readonly SettleItem[], readonly LeaseLook[]>();
  readonly dropped = new Calls<readonly DropItem[], readonly boolean[]>();
  readonly givenBack: ClaimedJob[] = [];
  dropsTold = 0;
  readonly settle = this.settlements.call;
  readonly heartbeat = (beats: readonly Beat[]) => this.beaten.call(beats);
  readonly looks = lane('look', this.lookedAt.call);
  readonly drops = lane('drop', this.dropped.call);
  /** How leases are kept is another test's. */
  readonly beats = lane<SessionBeat, SessionBeaten>('beat', unasked);
  readonly heartbeats = lane<HeartbeatItem, HeartbeatOutcome>('heartbeat', unasked);

  claim(claim: Claim, signal: AbortSignal): Promise<Claimed> {
    return this.claims.call({ claim, maxJobs: claim.maxJobs, signal });
  }

  async giveBack(given: readonly ClaimedJob[]): Promise<void> {
    this.givenBack.push(...given);
  }

  onDropped(): void {
    this.dropsTold += 1;
  }
}

const unasked = () => Promise.reject(new Error('nobody asks for this'));

function lane<Item, Outcome>(name: string, commit: (items: readonly Item[]) => Promise<readonly Outcome[]>) {
  return new GroupCommit<Item, Outcome>({ name, commit, bytesOf: () => 0, tenantOf: () => '' });
}

/** A session, its parts, and a worker who reads what it is told. */
export class SessionScene {
  readonly parts = new Parts();
  /** Jobs that the session has told the index of. */
  readonly index = new Set<JobId>();
  readonly gone = new AbortController();
  readonly session: Session;
  readonly over: Promise<void>;
  readonly told: WorkMessage[] = [];
  /** What the messages end with; undefined while they go on. */
  end: 'ok' | { readonly error: unknown } | undefined;
  readonly #reader: AsyncIterator<WorkMessage>;

  constructor(open: Partial<OpenWork> = {}, queues: readonly WorkedQueue[] = [queueOf()]) {
    const index = () => ({ add: (jobId: JobId) => void this.index.add(jobId), remove: (jobId: JobId) => void this.index.delete(jobId) });
    this.session = new Session(this.parts, { open: openOf(open), queues, index });
    this.over = this.session.run('s', queues, this.gone.signal);
    this.#reader = this.session.messages[Symbol.asyncIterator]();
  }

  /** Reads whatever comes, from the moment it is called. */
  async read(): Promise<void> {
    try {
      for (let step = await this.#reader.next(); step.done !== true; step = await this.#reader.next()) this.told.push(step.value);
      this.end = 'ok';
    } catch (error) {
      this.end = { error };
    }
  }

  /** Whoever reads gives up in the middle. */
  async leave(): Promise<void> {
    await this.#reader.return?.();
  }

  /** One message, by a worker who does not come back for the next before it is called again. */
  async one(): Promise<WorkMessage> {
    const { value, done } = await this.#reader.next();
    if (done === true) throw new Error('the messages have ended');
    return value;
  }

  kinds(): string[] {
    return this.told.map(({ kind }) => kind);
  }

  /** A session that reads, and holds what it was given. */
  static async holding(held: readonly ClaimedJob[], open: Partial<OpenWork> = {}): Promise<SessionScene> {
    const scene = new SessionScene({ credits: held.length, ...open });
    void scene.read();
    (await scene.parts.claims.next()).answer({ jobs: held, decision: 'ASSIGNED' });
    await settled();
    scene.told.splice(0);
    return scene;
  }
}
