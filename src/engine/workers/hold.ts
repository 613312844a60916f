/** What a worker does while it holds a lease: start the try, keep it. */
import type { Result } from '../../domain/error.ts';
import type { Job } from '../../domain/job.ts';
import type { LeaseToken } from '../../domain/lease.ts';
import type { Beat } from '../engine.ts';
import type { Commits } from '../commits.ts';
import type { HeartbeatOutcome } from '../ports/repository.ts';

/** LEASED to RUNNING; the first one counts, and its repetition gets the same answer. */
export async function start(starts: Commits['starts'], token: LeaseToken | null): Promise<Result<Job>> {
  const outcome = token === null ? null : await starts.submit({ token });
  if (outcome === null || outcome.kind === 'lease_lost') return { ok: false, refusal: { kind: 'lease_lost' } };
  return { ok: true, value: outcome.job };
}

/** Positional; accepted as a whole or refused as a whole. */
export async function heartbeat(heartbeats: Commits['heartbeats'], beats: readonly Beat[]): Promise<readonly HeartbeatOutcome[]> {
  const held = beats.flatMap(({ token, checkpoint }) => (token === null ? [] : [{ token, checkpoint }]));
  const outcomes = (await heartbeats.submitMany(held)).values();
  return beats.map(({ token }) => (token === null ? undefined : outcomes.next().value) ?? { kind: 'lease_lost', reason: 'NOT_HELD' });
}
