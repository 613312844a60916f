/** What the engine asks of storage about queues themselves: how they are configured, what operators do to them. */
import type { Refusal, Result } from '../../domain/error.ts';
import type { Micros, TerminalState } from '../../domain/job.ts';
import type { ConfiguredQueue, JobCounts, OperatorAction, QueueName, QueueSettings, QueueStatus } from '../../domain/queue.ts';
import type { QueueStats } from '../../domain/queue-stats.ts';
import type { Figures } from './figures.ts';
import type { RequestKey } from './request-key.ts';

export interface PutItem extends QueueName {
  /** What it is to be, from what it is; of a queue that is not there, from the defaults. */
  readonly change: (former: QueueSettings) => { readonly settings: QueueSettings } | { readonly refusal: Refusal };
  readonly actor: string;
  readonly request: RequestKey | null;
}

export interface ActionItem {
  readonly namespace: string;
  /** Null: the whole namespace, which can be paused and resumed. */
  readonly queue: string | null;
  readonly action: OperatorAction;
  readonly actor: string;
  readonly reason: string;
  readonly request: RequestKey | null;
}

/** `queue` is null where the action is on a namespace. */
export type Configured =
  | { readonly kind: 'done'; readonly queue: ConfiguredQueue | null; readonly changed: boolean }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

export interface AuditRecord {
  /** Rises with each record. */
  readonly position: bigint;
  readonly namespace: string;
  /** Empty: the whole namespace. */
  readonly queue: string;
  readonly at: Micros;
  readonly actor: string;
  readonly action: string;
  readonly reason: string;
  /** JSON. */
  readonly before: string;
  readonly after: string;
}

export interface AuditPage {
  /** Newest first; fewer than asked for where many of other queues were passed over. */
  readonly records: readonly AuditRecord[];
  /** The position to go on below, where there may be more. */
  readonly nextBefore: bigint | null;
}

/** Jobs to remove before their retention ends. */
export interface PruneItem {
  readonly namespace: string;
  /** Null: of any. */
  readonly queue: string | null;
  /** Empty: in any. */
  readonly states: readonly TerminalState[];
  readonly finishedBefore: Micros;
  readonly dryRun: boolean;
  readonly actor: string;
  readonly request: RequestKey | null;
}

export interface Pruned {
  readonly pruned: number;
  /** Nothing is left to remove. */
  readonly complete: boolean;
}

/** How far a queue has drained; counted only while it drains. */
export interface DrainState {
  readonly status: QueueStatus;
  readonly counts: JobCounts | null;
}

/** Why a queue gives nothing, or no more, just now. */
export interface QueueLimit {
  readonly queue: string;
  /** `PER_WORKER`: what one worker may hold. `UNSORTED`: it must be sorted by type first. */
  readonly limiter: 'STATUS' | 'MODE' | 'UNSORTED' | 'MAX_IN_FLIGHT' | 'PER_WORKER' | 'RATE';
  /** Whether jobs wait behind it, as far as that is known. */
  readonly ready: boolean;
  /** When it gives again, where time alone decides. */
  readonly openInMs: number | null;
}

export interface Queues {
  configuredQueue(name: QueueName): Promise<ConfiguredQueue | null>;
  /** By name, ascending, after the one named. */
  listQueues(namespace: string, pageSize: number, after: string): Promise<readonly ConfiguredQueue[]>;
  putQueue(item: PutItem): Promise<Configured>;
  applyAction(item: ActionItem): Promise<Configured>;
  listAudit(namespace: string, queue: string | null, pageSize: number, before: bigint | null): Promise<AuditPage>;
  /** A bounded amount of work, in one commit. */
  pruneJobs(item: PruneItem): Promise<Result<Pruned>>;
  drainState(name: QueueName): Promise<DrainState | null>;
  /** Null for a queue that is not there. */
  queueStats(name: QueueName): Promise<QueueStats | null>;
  /** The queues with the most jobs by name, so many of them, and the others together. Costs by queues, not by jobs. */
  queueFigures(limit: number): Promise<Figures>;
}
