/** The pure side: jobs as `domain/decide.ts` moves them, and which of them a claim gets. */
import { begin, decide, type Command, type Decision, type TokenState } from '../../src/domain/decide.ts';
import type { EventDetail } from '../../src/domain/event.ts';
import type { JobId, JobSpec } from '../../src/domain/job.ts';
import type { LeaseToken } from '../../src/domain/lease.ts';
import { DEFAULT_RETRY_POLICY, effectivePolicy } from '../../src/domain/retry.ts';

export interface ModelJob {
  readonly jobId: JobId;
  readonly spec: JobSpec;
  token: TokenState;
  /** Rises with each position drawn; equal priorities are FIFO by it. */
  position: number | null;
  readonly events: EventDetail[];
  /** Every lease that was given, oldest first, and how its holder ended it. */
  readonly leases: { readonly token: LeaseToken; settlement: 'ack' | 'fail' | 'release' | null }[];
}

export class Model {
  readonly namespace: string;
  readonly jobs: ModelJob[] = [];
  #positions = 0;

  constructor(namespace: string) {
    this.namespace = namespace;
  }

  enqueue(jobId: JobId, spec: JobSpec, now: number): ModelJob {
    const policy = effectivePolicy(spec.retry, DEFAULT_RETRY_POLICY);
    const token = begin({ policy, deadLetterEnabled: true, runAt: spec.runAt, now });
    const runAt = token.state === 'SCHEDULED' ? spec.runAt : null;
    const enqueued: EventDetail = { type: 'enqueued', jobType: spec.type, priority: spec.priority, runAt };
    const position = token.state === 'READY' ? (this.#positions += 1) : null;
    const job: ModelJob = { jobId, spec, token, position, events: [enqueued], leases: [] };
    this.jobs.push(job);
    return job;
  }

  byKey(key: string): ModelJob | undefined {
    return this.jobs.find((job) => job.spec.idempotency?.key === key);
  }

  /** READY jobs in dispatch order. */
  backlog(): readonly ModelJob[] {
    return this.jobs
      .filter((job) => job.token.state === 'READY')
      .sort((a, b) => b.spec.priority - a.spec.priority || (a.position ?? 0) - (b.position ?? 0));
  }

  apply(job: ModelJob, command: Command, now: number): Decision {
    const decision = decide(job.token, command, now);
    if (decision.kind === 'applied') {
      job.token = decision.job;
      job.events.push(...decision.events);
    }
    return decision;
  }

  /** What upkeep does: lapsed leases end, then due jobs become READY in due order. */
  promote(now: number): void {
    const due = this.jobs
      .flatMap((job) => ('dueAt' in job.token && job.token.dueAt <= now ? [{ job, dueAt: job.token.dueAt }] : []))
      .sort((a, b) => a.dueAt - b.dueAt || (a.job.jobId < b.job.jobId ? -1 : 1));
    for (const { job } of due) {
      this.apply(job, { action: 'promote' }, now);
      job.position = this.#positions += 1;
    }
  }

  expire(now: number): void {
    const failure = {
      code: 'stint.lease_expired',
      message: 'the lease expired before the attempt was settled',
      details: new Uint8Array(),
      kind: 'RETRYABLE' as const,
    };
    for (const job of this.jobs) this.apply(job, { action: 'expire', failure, jitterFactor: 0.5 }, now);
  }
}
