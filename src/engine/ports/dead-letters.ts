/** What the engine asks of storage about the records of lives that failed. */
import type { DeadLetter, DeadLetterId } from '../../domain/dead-letter.ts';
import type { Result } from '../../domain/error.ts';
import type { Job, JobId } from '../../domain/job.ts';
import type { RequestKey } from './request-key.ts';

export interface DeadLetterFilter {
  readonly namespace: string;
  readonly queue: string | null;
  readonly type: string | null;
  readonly failureCode: string | null;
  readonly jobId: JobId | null;
  readonly includeReplayed: boolean;
}

export interface DeadLetterPage {
  /** In the order in which they happened. */
  readonly deadLetters: readonly DeadLetter[];
  /** The position to go on after, where there may be more. */
  readonly nextAfter: bigint | null;
}

/** Positions of dead letters that one replay is about: those after the first, up to the second. */
export interface ReplayStretch {
  readonly after: bigint;
  readonly until: bigint;
}

/** Dead letters to replay, a page of them. */
export interface Replayable {
  readonly ids: readonly DeadLetterId[];
  /** What is left of the stretch. */
  readonly next: ReplayStretch | null;
}

/** Dead letters to replay in one commit. `next` is remembered with the answer. */
export interface ReplayPage extends Replayable {
  readonly namespace: string;
  /** Null: of any queue. */
  readonly queue: string | null;
  readonly reason: string;
  readonly request: RequestKey | null;
}

export interface ReplayedPage {
  /** Positional; the job that has a new life. */
  readonly results: readonly { readonly id: DeadLetterId; readonly result: Result<JobId> }[];
  readonly next: ReplayStretch | null;
}

export interface ReplayOutcome {
  readonly answer: Result<ReplayedPage>;
  /** The jobs that have a new life, without their results. */
  readonly changed: readonly Job[];
}

export interface DeadLetters {
  listDeadLetters(filter: DeadLetterFilter, pageSize: number, after: bigint | null): Promise<DeadLetterPage>;
  /** Those not replayed yet. A null stretch: whatever there is by now. */
  findReplayable(filter: Omit<DeadLetterFilter, 'includeReplayed'>, pageSize: number, stretch: ReplayStretch | null): Promise<Replayable>;
  replayPage(page: ReplayPage): Promise<ReplayOutcome>;
  /** What `replayPage` would come to; nothing changes, and a key that another job holds is not seen. */
  foreseeReplay(page: ReplayPage): Promise<ReplayedPage>;
}
