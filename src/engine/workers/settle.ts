/** The ends a worker can give its try: ack, fail, release; alone, or many in one call. */
import type { Refusal, Result } from '../../domain/error.ts';
import type { LeaseToken } from '../../domain/lease.ts';
import type { Failure } from '../../domain/job.ts';
import type { Ack, Acked, Fail, Failed, Release, Released, Settled, Settlement } from '../engine.ts';
import type { GroupCommit } from '../group-commit.ts';
import type { AckItem, FailItem, FailOutcome, NotStarted, ReleaseItem, ReleaseOutcome, SettleOutcome } from '../ports/repository.ts';

export interface SettleParts {
  readonly acks: GroupCommit<AckItem, SettleOutcome>;
  readonly fails: GroupCommit<FailItem, FailOutcome>;
  readonly releases: GroupCommit<ReleaseItem, ReleaseOutcome>;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

const LEASE_LOST: { readonly ok: false; readonly refusal: Refusal } = { ok: false, refusal: { kind: 'lease_lost' } };

/** Why a job fails that was released once too often, with no attempt left. */
const RELEASE_LIMIT: Failure = {
  code: 'stint.release_limit',
  message: 'released too often, and no attempt is left',
  details: new Uint8Array(),
  kind: 'TERMINAL',
};

export async function ack(parts: SettleParts, { token, result, contentType }: Ack): Promise<Result<Acked>> {
  if (token === null) return LEASE_LOST;
  const outcome = await parts.acks.submit({ token, result, contentType });
  if (outcome.kind === 'lease_lost') return LEASE_LOST;
  if (outcome.kind === 'not_started') return refuseUnstarted(outcome, 'ack');
  return { ok: true, value: { job: outcome.job, outcome: applied(outcome.kind) } };
}

export async function fail(parts: SettleParts, { token, failure, retryAfterMs }: Fail): Promise<Result<Failed>> {
  if (token === null) return LEASE_LOST;
  const outcome = await parts.fails.submit({ token, failure, retryAfterMs, jitterFactor: jitterFactor(parts) });
  if (outcome.kind === 'lease_lost') return LEASE_LOST;
  if (outcome.kind === 'not_started') return refuseUnstarted(outcome, 'fail');
  return { ok: true, value: { job: outcome.job, outcome: applied(outcome.kind), decision: outcome.decision } };
}

/** Not to hold the lease any more is no error here: the job is not the worker's, as it wished. */
export async function release(parts: SettleParts, { token, delayMs }: Release): Promise<Result<Released>> {
  const notHeld: Result<Released> = { ok: true, value: { job: null, outcome: 'NOT_HELD' } };
  if (token === null) return notHeld;
  const outcome = await parts.releases.submit({ token, delayMs });
  switch (outcome.kind) {
    case 'applied':
    case 'already_applied':
      return { ok: true, value: { job: outcome.job, outcome: applied(outcome.kind) } };
    case 'exhausted':
      return failExhausted(parts, token, notHeld);
    case 'lease_lost':
    case 'not_started':
      return notHeld;
  }
}

/** Positional; settlements of one kind are committed together, and none decides over another. */
export function settle(parts: SettleParts, settlements: readonly Settlement[]): Promise<readonly Settled[]> {
  return Promise.all(settlements.map((settlement) => settleOne(parts, settlement)));
}

async function settleOne(parts: SettleParts, settlement: Settlement): Promise<Settled> {
  switch (settlement.kind) {
    case 'ack':
      return settled('ack', await ack(parts, settlement));
    case 'fail':
      return settled('fail', await fail(parts, settlement));
    case 'release':
      return settled('release', await release(parts, settlement));
    case 'refused':
      return settlement;
  }
}

function settled<Kind extends 'ack' | 'fail' | 'release', Value>(kind: Kind, result: Result<Value>) {
  return result.ok ? { kind, ...result.value } : { kind: 'refused' as const, refusal: result.refusal };
}

async function failExhausted(parts: SettleParts, token: LeaseToken, notHeld: Result<Released>): Promise<Result<Released>> {
  const outcome = await parts.fails.submit({ token, failure: RELEASE_LIMIT, retryAfterMs: null, jitterFactor: 1 });
  return 'job' in outcome ? { ok: true, value: { job: outcome.job, outcome: applied(outcome.kind) } } : notHeld;
}

function refuseUnstarted({ jobId }: NotStarted, action: string): { readonly ok: false; readonly refusal: Refusal } {
  return { ok: false, refusal: { kind: 'invalid_transition', jobId, state: 'LEASED', action } };
}

function applied(kind: 'applied' | 'already_applied'): 'APPLIED' | 'ALREADY_APPLIED' {
  return kind === 'applied' ? 'APPLIED' : 'ALREADY_APPLIED';
}

function jitterFactor({ random }: SettleParts): number {
  return 0.5 + random() / 2;
}
