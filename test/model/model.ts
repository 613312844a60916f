/** The pure side: jobs as `domain/decide.ts` moves them, who holds which key, and which job a claim gets. */
import { begin, decide } from '../../src/domain/decide.ts';
import { stateAfter, type EventDetail } from '../../src/domain/event.ts';
import { isTerminal, type JobId, type JobSpec, type JobState, type Micros } from '../../src/domain/job.ts';
import { leaseEnd, type LeaseToken } from '../../src/domain/lease.ts';
import { DEFAULT_RETRY_POLICY, effectivePolicy } from '../../src/domain/retry.ts';
import type { Command, Decision, HeldLease, OperatorCommand, TokenState } from '../../src/domain/token-state.ts';
import type { LeaseLossReason } from '../../src/engine/ports/leases.ts';

export interface ModelEvent {
  readonly sequence: number;
  readonly occurredAt: Micros;
  readonly life: number;
  readonly attempt: number;
  readonly fence: bigint;
  readonly state: JobState;
  readonly workerId: string;
  readonly detail: EventDetail;
}

export interface ModelLease {
  readonly token: LeaseToken;
  settlement: 'ack' | 'fail' | 'release' | 'suspend' | null;
  /** How it was lost, once it was swept and not settled. */
  lostBy: LeaseLossReason | null;
}

/** Of a lease that has ended: what came first. */
function causeOf(lease: HeldLease): LeaseLossReason {
  const end = leaseEnd(lease);
  if (end === lease.cancelDeadline) return 'CANCELLED';
  return end === lease.runUntil || end === lease.lifeUntil ? 'TIMED_OUT' : 'EXPIRED';
}

/** What a heartbeat of a lost lease is told. */
export function lossReason({ token: job }: ModelJob, { token, settlement, lostBy }: ModelLease): LeaseLossReason {
  if (settlement !== null) return 'SETTLED';
  return 'lease' in job && job.fence === token.fence ? causeOf(job.lease) : (lostBy ?? 'NOT_HELD');
}

export interface ModelJob {
  readonly jobId: JobId;
  readonly spec: JobSpec;
  token: TokenState;
  priority: number;
  /** Rises with each position drawn; equal priorities are FIFO by it. */
  position: number | null;
  readonly events: ModelEvent[];
  /** So many of them have been compared: events never change. */
  eventsCompared: number;
  /** Every lease that was given, oldest first, and how its holder ended it. */
  readonly leases: ModelLease[];
  /** Of the latest claim. */
  workerId: string;
  checkpoint: string | null;
}

interface HeldKey {
  readonly job: ModelJob;
  readonly scope: 'RETAINED' | 'UNTIL_TERMINAL';
}

const HELD: readonly JobState[] = ['LEASED', 'RUNNING'];

export class Model {
  readonly jobs: ModelJob[] = [];
  /** What was answered to a request id, and what was asked under it. */
  readonly requests = new Map<string, { readonly asked: string; readonly answer: unknown }>();
  /** The same of the replay keys of each job. */
  readonly facts = new Map<string, { readonly asked: string; readonly answer: unknown }>();
  readonly #keys = new Map<string, HeldKey>();
  #positions = 0;

  enqueue(jobId: JobId, spec: JobSpec, now: Micros): ModelJob {
    const policy = effectivePolicy(spec.retry, DEFAULT_RETRY_POLICY);
    const { timeouts, disposition, idempotency } = spec;
    const rules = { policy, deadLetterEnabled: true, cancellationBudgetMs: 30_000, timeouts, disposition };
    const token = begin({ rules, runAt: spec.runAt, now });
    const position = token.state === 'READY' ? this.#draw() : null;
    const job: ModelJob = {
      ...{ jobId, spec, token, position, priority: spec.priority },
      ...{ events: [], eventsCompared: 0, leases: [], workerId: '', checkpoint: null },
    };
    const runAt = token.state === 'SCHEDULED' ? spec.runAt : null;
    this.#tell(job, token, [{ type: 'enqueued', jobType: spec.type, priority: spec.priority, runAt }], now);
    this.jobs.push(job);
    if (idempotency !== null) this.#keys.set(idempotency.key, { job, scope: idempotency.scope });
    return job;
  }

  /** The job that an enqueue under the key meets. */
  holderOf(key: string): ModelJob | null {
    const held = this.#keys.get(key);
    if (held === undefined) return null;
    return held.scope === 'UNTIL_TERMINAL' && isTerminal(held.job.token.state) ? null : held.job;
  }

  /** Another live job that holds its key. */
  rivalOf(job: ModelJob): ModelJob | null {
    const held = job.spec.idempotency === null ? undefined : this.#keys.get(job.spec.idempotency.key);
    return held === undefined || held.job === job || isTerminal(held.job.token.state) ? null : held.job;
  }

  /** READY jobs in dispatch order, without those that wait past their time. */
  backlog(now: Micros): readonly ModelJob[] {
    return this.jobs
      .filter(({ token }) => token.state === 'READY' && token.rules.disposition !== 'EXTERNALLY_OWNED')
      .filter(({ token }) => !('giveUpAt' in token) || token.giveUpAt === null || token.giveUpAt > now)
      .sort((a, b) => b.priority - a.priority || (a.position ?? 0) - (b.position ?? 0));
  }

  apply(job: ModelJob, command: Command, now: Micros): Decision {
    const decision = decide(job.token, command, now);
    if (decision.kind === 'refused') return decision;
    const before = job.token;
    job.token = decision.job;
    const lease = job.leases.at(-1);
    if ('lease' in before && !('lease' in job.token) && lease !== undefined) lease.lostBy = causeOf(before.lease);
    this.#tell(job, before, decision.events, now);
    const last = decision.events.at(-1);
    if (last?.type === 'updated') job.priority = last.change.priority ?? job.priority;
    // A release without delay keeps the position of the claim, and an update of a READY job its own; a fact moves nothing.
    const keeps = last?.type === 'custom' || last?.type === 'released' || (last?.type === 'updated' && before.state === 'READY');
    if (last !== undefined && job.token.state === 'READY' && !keeps) job.position = this.#draw();
    if (last?.type === 'retried' && job.spec.idempotency !== null) this.#retakeKey(job, job.spec.idempotency.key);
    return decision;
  }

  /** A lease that has ended, and a job that has waited too long, is swept on the way, also where the command is refused. */
  operate(job: ModelJob, command: OperatorCommand, now: Micros): Decision {
    const decision = this.apply(job, command, now);
    if (decision.kind === 'refused') {
      this.apply(job, { action: 'expire', jitterFactor: 1 }, now);
      this.apply(job, { action: 'time_out' }, now);
    }
    return decision;
  }

  /** A round of upkeep: due jobs become READY in due order, lapsed leases end, jobs that wait past their time fail. */
  upkeep(now: Micros): void {
    const due = this.jobs
      .flatMap((job) => ('dueAt' in job.token && job.token.dueAt <= now ? [{ job, dueAt: job.token.dueAt }] : []))
      .sort((a, b) => a.dueAt - b.dueAt || (a.job.jobId < b.job.jobId ? -1 : 1));
    for (const { job } of due) this.apply(job, { action: 'promote' }, now);
    for (const job of this.jobs) this.apply(job, { action: 'expire', jitterFactor: 0.5 }, now);
    for (const job of this.jobs) this.apply(job, { action: 'time_out' }, now);
  }

  #draw(): number {
    this.#positions += 1;
    return this.#positions;
  }

  #retakeKey(job: ModelJob, key: string): void {
    this.#keys.set(key, { job, scope: this.#keys.get(key)?.scope ?? 'RETAINED' });
  }

  /** Each event carries what its job is once it is true; those before a retry are of the life that ended. */
  #tell(job: ModelJob, before: TokenState, details: readonly EventDetail[], now: Micros): void {
    let state: JobState = before.state;
    for (const detail of details) {
      const { life, attempt } = details.at(-1)?.type === 'retried' && detail.type !== 'retried' ? before : job.token;
      const workerId = detail.type === 'claimed' || HELD.includes(state) ? job.workerId : '';
      state = stateAfter(detail);
      const sequence = job.events.length + 1;
      job.events.push({ sequence, occurredAt: now, life, attempt, fence: job.token.fence, state, workerId, detail });
    }
  }
}
