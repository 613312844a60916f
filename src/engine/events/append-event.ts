import type { Result } from '../../domain/error.ts';
import type { JobEvent } from '../../domain/event.ts';
import type { JobId } from '../../domain/job.ts';
import type { LeaseToken } from '../../domain/lease.ts';
import type { GroupCommit } from '../group-commit.ts';
import type { AppendItem, AppendOutcome } from '../ports/events.ts';

export interface AppendEvent {
  readonly namespace: string;
  readonly jobId: JobId;
  /** Null: told from outside. A null token is one this service cannot have written: a lost lease. */
  readonly holder: { readonly token: LeaseToken | null } | null;
  readonly type: string;
  readonly data: Uint8Array;
  readonly contentType: string;
  /** Null: each call is an event of its own. */
  readonly replayKey: string | null;
}

/** The event as it was committed, also where that was by an earlier call with its key. */
export async function appendEvent(appends: GroupCommit<AppendItem, AppendOutcome>, command: AppendEvent): Promise<Result<JobEvent>> {
  const { holder, ...told } = command;
  const token = holder === null ? null : holder.token;
  if (holder !== null && !isOf(token, command)) return { ok: false, refusal: { kind: 'lease_lost' } };
  const outcome = await appends.submit({ ...told, token });
  return outcome.kind === 'refused' ? { ok: false, refusal: outcome.refusal } : { ok: true, value: outcome.event };
}

/** A token of another job gives no right to this one. */
function isOf(token: LeaseToken | null, { jobId }: AppendEvent): boolean {
  return token !== null && token.jobId === jobId;
}
