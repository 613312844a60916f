import { setTimeout as pause } from 'node:timers/promises';
import type { Result } from '../../domain/error.ts';
import type { GroupCommit } from '../group-commit.ts';
import type { ActionItem, Configured, PutItem } from '../ports/queues.ts';
import type { Repository } from '../ports/repository.ts';
import { StoreError } from '../ports/store-error.ts';

/** One change at a time: each may wait for what is under way, and one that waits too long is tried again by the lane. */
type ConfigurationLane = GroupCommit<() => Promise<Configured>, Configured>;

export interface ConfigureParts {
  readonly lane: ConfigurationLane;
  readonly repository: Pick<Repository, 'putQueue' | 'applyAction'>;
  /** A queue has changed: who waits looks again. */
  readonly onChanged: () => void;
}

/** `queue` is null where the change is of a namespace. */
export type QueueChange = Omit<Extract<Configured, { readonly kind: 'done' }>, 'kind'>;

export function putQueue({ lane, repository, onChanged }: ConfigureParts, item: PutItem): Promise<Result<QueueChange>> {
  return change(lane, () => repository.putQueue(item), onChanged);
}

export function applyAction({ lane, repository, onChanged }: ConfigureParts, item: ActionItem): Promise<Result<QueueChange>> {
  return change(lane, () => repository.applyAction(item), onChanged);
}

/** While a change waits for a lock, all that writes waits behind it: between two tries they have so long to themselves. */
const CONTENDED_PAUSE_MS = 500;

/** A contended one, told after the pause: the lane tries it again. */
async function withPause(work: () => Promise<Configured>): Promise<Configured> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'contended') await pause(CONTENDED_PAUSE_MS);
    throw error;
  }
}

async function change(lane: ConfigurationLane, work: () => Promise<Configured>, onChanged: () => void): Promise<Result<QueueChange>> {
  const configured = await lane.submit(() => withPause(work));
  if (configured.kind === 'refused') return { ok: false, refusal: configured.refusal };
  onChanged();
  return { ok: true, value: { queue: configured.queue, changed: configured.changed } };
}
