/** The numbers of queues beside what is there, for whoever moves tokens. */
import type { Sql } from 'postgres';
import type { QueueStats } from '../../src/domain/queue-stats.ts';
import type { Queue } from '../../src/domain/queue.ts';
import type { Repository } from '../../src/engine/ports/repository.ts';

/** What the numbers say of a queue, and what is counted one by one: of the same names. */
export type Counted = QueueStats['jobs'] & { readonly deadLetters: number };

export async function statsOf(repository: Repository, queue: Queue): Promise<QueueStats> {
  const stats = await repository.queueStats(queue);
  if (stats === null) throw new Error('no such queue');
  return stats;
}

export async function toldOf(repository: Repository, queue: Queue): Promise<Counted> {
  const { jobs, deadLetters } = await statsOf(repository, queue);
  return { ...jobs, deadLetters };
}

export async function recountOf(sql: Sql, { id }: Pick<Queue, 'id'>): Promise<Counted> {
  const [row] = await sql<Counted[]>`
    select d.scheduled, 0 as blocked, r.ready + k.ready as ready, l.leased, l.running, d.waiting as "retryWait", k.suspended, x.dead as "deadLetters"
      from (select count(*)::int as ready from stint.ready where queue_id = ${id}) r,
        (select count(*) filter (where started_at is null)::int as leased, count(*) filter (where started_at is not null)::int as running
           from stint.lease where queue_id = ${id}) l,
        (select count(*) filter (where kind <> 2)::int as scheduled, count(*) filter (where kind = 2)::int as waiting
           from stint.deferred where queue_id = ${id}) d,
        (select count(*) filter (where kind = 2)::int as ready, count(*) filter (where kind = 1)::int as suspended
           from stint.parked where queue_id = ${id}) k,
        (select count(*)::int as dead from stint.dead_letter where queue_id = ${id} and replayed_at is null) x`;
  if (row === undefined) throw new Error('nothing was counted');
  return row;
}
