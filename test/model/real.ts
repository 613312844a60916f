/** The service's side of a run. */
import type { RunningEngine } from '../../src/engine/create-engine.ts';
import type { Micros } from '../../src/domain/job.ts';
import type { QueueSettings } from '../../src/domain/queue.ts';
import type { System } from './system.ts';

export interface Run {
  readonly system: System;
  readonly namespace: string;
}

/** As a command sees it: through the replica that it goes to. */
export interface Real extends Run {
  readonly engine: RunningEngine;
  /** Of the worker that speaks to this replica. */
  readonly workerId: string;
}

/** Which replica a command goes to. */
export type Via = 0 | 1;

export const QUEUE = 'q';

/** A queue that counts what it holds, though it bounds nothing: after each step the count is compared with a recount. */
export async function openGate({ system: { store }, namespace }: Run): Promise<void> {
  const change = (settings: QueueSettings) => ({ settings: { ...settings, maxQueued: 1_000_000, maxInFlight: 1_000_000 } });
  const configured = await store.repository.putQueue({ namespace, name: QUEUE, change, actor: 'test', request: null });
  if (configured.kind === 'refused') throw new Error(configured.refusal.kind);
}

export function nowOf({ system }: Run): Micros {
  return system.clock.now().getTime() * 1_000;
}

export function through({ system, namespace }: Run, via: Via): Real {
  const engine = via === 0 ? system.engine : system.secondEngine;
  return { system, namespace, engine, workerId: `worker of ${via}` };
}
