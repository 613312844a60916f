/** What the engine asks of storage about queues themselves: how they are configured, what operators do to them. */
import type { Refusal } from '../../domain/error.ts';
import type { Micros } from '../../domain/job.ts';
import type { ConfiguredQueue, JobCounts, OperatorAction, QueueName, QueueSettings, QueueStatus } from '../../domain/queue.ts';
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

/** How far a queue has drained; counted only while it drains. */
export interface DrainState {
  readonly status: QueueStatus;
  readonly counts: JobCounts | null;
}

/** Why a queue gives nothing, or no more, just now. */
export interface QueueLimit {
  readonly queue: string;
  readonly limiter: 'STATUS' | 'MODE' | 'MAX_IN_FLIGHT' | 'RATE';
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
  drainState(name: QueueName): Promise<DrainState | null>;
}
