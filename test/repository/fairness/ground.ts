/** A queue whose jobs have fairness keys, and the few words tests say about the order of its backlog. */
import type { JobId, JobSpec } from '../../../src/domain/job.ts';
import type { Queue, QueueSettings } from '../../../src/domain/queue.ts';
import { LIMITS } from '../../../src/domain/limits.ts';
import { type Stage, tokenOf } from '../../engine/stage.ts';

export async function weigh(stage: Stage, { namespace, name }: Queue, fairnessWeights: QueueSettings['fairnessWeights']): Promise<void> {
  const change = (former: QueueSettings) => ({ settings: { ...former, fairnessWeights } });
  const outcome = await stage.repository.putQueue({ namespace, name, change, actor: 'test', request: null });
  if (outcome.kind !== 'done') throw new Error('the weights were refused');
}

/** So many jobs of a key in calls of at most a thousand, one answered before the next begins. */
export async function lay(stage: Stage, queue: Queue, count: number, told: Partial<JobSpec>): Promise<readonly JobId[]> {
  const ids: JobId[] = [];
  while (ids.length < count) {
    const jobs = Array.from({ length: Math.min(LIMITS.batchItems, count - ids.length) }, () => told);
    ids.push(...(await stage.enqueue(queue, ...jobs)));
  }
  return ids;
}

/** Claims so many and settles them; the keys of the jobs, in dispatch order. */
export async function serve(stage: Stage, queue: Queue, count: number): Promise<readonly string[]> {
  const given = await stage.claim(queue, { maxJobs: count });
  await stage.repository.ackMany(given.map((one) => ({ token: tokenOf(one), result: Buffer.alloc(0), contentType: '' })));
  return given.map(({ job }) => job.fairnessKey);
}

/** The keys that `fair` has rows of, in order; the empty one tells that keys are in use. */
export async function keptKeys(stage: Stage, { id }: Queue): Promise<readonly string[]> {
  const rows = await stage.sql<{ key: string }[]>`select key from stint.fair where queue_id = ${id} order by rank, key`;
  return rows.map(({ key }) => key);
}

export function counted(keys: readonly string[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const key of keys) counts[key] = (counts[key] ?? 0) + 1;
  return counts;
}
