/** What a worker does while it holds a lease: start the try, keep it. */
import type { Result } from '../../domain/error.ts';
import type { Job } from '../../domain/job.ts';
import type { LeaseToken } from '../../domain/lease.ts';
import type { Beat } from './words.ts';
import type { Commits } from '../commits.ts';
import type { HeartbeatItem } from '../ports/repository.ts';
import type { HeartbeatOutcome } from '../ports/leases.ts';
import type { ReportedProgress } from '../progress/progress-report.ts';

/** LEASED to RUNNING; the first one counts, and its repetition gets the same answer. */
export async function start(starts: Commits['starts'], token: LeaseToken | null): Promise<Result<Job>> {
  const outcome = token === null ? null : await starts.submit({ token });
  if (outcome === null || outcome.kind === 'lease_lost') return { ok: false, refusal: { kind: 'lease_lost' } };
  return { ok: true, value: outcome.job };
}

export interface HeartbeatParts {
  /** Positional. */
  readonly renew: (items: readonly HeartbeatItem[]) => Promise<readonly HeartbeatOutcome[]>;
  /** Of beats that renewed their lease. */
  readonly onProgress: (reported: ReportedProgress) => void;
}

/** Positional; accepted as a whole or refused as a whole. */
export async function heartbeat(parts: HeartbeatParts, beats: readonly Beat[]): Promise<readonly HeartbeatOutcome[]> {
  const held = beats.flatMap(({ token, checkpoint }) => (token === null ? [] : [{ token, checkpoint }]));
  const outcomes = (await parts.renew(held)).values();
  return beats.map((beat) => {
    const outcome = (beat.token === null ? undefined : outcomes.next().value) ?? ({ kind: 'lease_lost', reason: 'NOT_HELD' } as const);
    report(parts, beat, outcome);
    return outcome;
  });
}

/** What a lease that is lost would tell is of nobody's attempt. */
function report({ onProgress }: HeartbeatParts, { token, progress = null }: Beat, outcome: HeartbeatOutcome): void {
  if (progress === null || token === null || outcome.kind !== 'renewed') return;
  // The lease ends `ttlMs` after the beat, by the database's clock.
  const reportedAt = outcome.expiresAt - outcome.ttlMs * 1_000;
  onProgress({ token, jobId: token.jobId, fence: token.fence, reportedAt, progress });
}
