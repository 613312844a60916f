/** Bounds of queues as tests set them, and what their gates count beside what is there. */
import type { Sql } from 'postgres';
import type { Queue, QueueName, QueueSettings } from '../../src/domain/queue.ts';
import type { Configured, PutItem } from '../../src/engine/ports/queues.ts';
import type { Repository } from '../../src/engine/ports/repository.ts';

export interface GateCounts {
  readonly scheduled: number;
  readonly ready: number;
  readonly leased: number;
  readonly running: number;
  readonly retry_wait: number;
  readonly suspended: number;
  readonly blocked: number;
}

export const NONE: GateCounts = { scheduled: 0, blocked: 0, ready: 0, leased: 0, running: 0, retry_wait: 0, suspended: 0 };

function putItem({ namespace, name }: QueueName, told: Partial<QueueSettings>): PutItem {
  return { namespace, name, change: (former) => ({ settings: { ...former, ...told } }), actor: 'test', request: null };
}

/** Changes what is told of a queue's settings. */
export function put(repository: Repository, queue: QueueName, told: Partial<QueueSettings>): Promise<Configured> {
  return repository.putQueue(putItem(queue, told));
}

/** What a gate has counted, null where there is none, and what is there: of one snapshot. */
export async function countsOf(
  sql: Sql,
  { id }: Pick<Queue, 'id'>,
): Promise<{ readonly counted: GateCounts | null; readonly there: GateCounts }> {
  const [row] = await sql<{ counted: GateCounts | null; there: GateCounts }[]>`
    with tokens as materialized (
      select 'ready' as state from stint.ready where queue_id = ${id}
      union all select case when started_at is null then 'leased' else 'running' end from stint.lease where queue_id = ${id}
      union all select case kind when 2 then 'retry_wait' else 'scheduled' end from stint.deferred where queue_id = ${id}
      union all select case kind when 1 then 'suspended' when 2 then 'ready' else 'blocked' end from stint.parked where queue_id = ${id})
    select (select jsonb_object_agg(s.state, (select count(*) from tokens t where t.state = s.state))
        from unnest(array['scheduled', 'blocked', 'ready', 'leased', 'running', 'retry_wait', 'suspended']) as s(state)) as there,
      (select jsonb_build_object('scheduled', scheduled, 'blocked', blocked, 'ready', ready, 'leased', leased, 'running', running,
          'retry_wait', retry_wait, 'suspended', suspended) from stint.gate where queue_id = ${id}) as counted`;
  if (row === undefined) throw new Error('nothing was counted');
  return row;
}
