import { sql } from 'drizzle-orm';
import { LIMITS } from '../../domain/limits.ts';
import { STATUS_CODES } from '../../domain/queue.ts';
import type { HeartbeatItem, HeartbeatOutcome } from '../../engine/ports/repository.ts';
import { byteaArray } from '../array.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { distinctSorted, heldLeases, heldValues, placed, tokenKey, type HeldParam } from '../held-leases.ts';
import { bool, int, instant, instantOrNull } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { lossReasons } from './lost-lease.ts';

/** Until when a lease is renewed. */
const renewed = sql`least((select now from c) + duration_ms * interval '1 millisecond', cancel_deadline, run_until, life_until)`;

/**
 * Heartbeat: the lease runs its whole duration again from now, but not past its end. Touches no indexed column, so the update
 * stays on its page (HOT). The first checkpoint of a job adds the largest one to its size, so that a claim's response stays bounded.
 */
const heartbeatStatement = statement<HeldParam | 'checkpoints'>(
  'heartbeat',
  sql`with ${clock},
  ${heldLeases({ extraArrays: sql`, ${param('checkpoints')}::bytea[]`, extraColumns: sql`, checkpoint` })},
  u as (
    update stint.lease set until = ${renewed}
     where shard = ${shard} and job = any(array(select job from m where checkpoint is null))),
  k as (
    update stint.lease set until = ${renewed}, checkpointed = true,
        size = case when checkpointed then size else size + ${LIMITS.checkpointBytes} end
     where shard = ${shard} and job = any(array(select job from m where checkpoint is not null))),
  p as (
    insert into stint.checkpoint (shard, job, fence, data)
    select ${shard}, job, fence, checkpoint from m where checkpoint is not null
    on conflict (shard, job, fence) do update set data = excluded.data)
  select t.*, floor(extract(epoch from t.until - c.now) * 1000)::int as ttl_ms from c cross join lateral (
    select n, cancel_deadline, ${renewed} as until, (
        select q.status = ${STATUS_CODES.DRAINING_IN_FLIGHT} from stint.queue q where q.shard = ${shard} and q.id = m.queue_id) as draining from m) t`,
);

export async function heartbeatMany(run: Run, now: string | null, items: readonly HeartbeatItem[]): Promise<readonly HeartbeatOutcome[]> {
  const latest = new Map<string, HeartbeatItem>();
  for (const item of items) {
    const before = latest.get(tokenKey(item));
    latest.set(tokenKey(item), { token: item.token, checkpoint: item.checkpoint ?? before?.checkpoint ?? null });
  }
  const beats = [...latest.values()];
  const sent = distinctSorted(placed(beats));
  const rows = await run(heartbeatStatement, {
    now,
    ...heldValues(sent),
    checkpoints: byteaArray(sent.map(({ item }) => item.checkpoint)),
  });
  const outcomes = new Map<string, HeartbeatOutcome>();
  for (const row of rows) {
    const item = beats[int(row, 'n')];
    if (item !== undefined)
      outcomes.set(tokenKey(item), {
        kind: 'renewed',
        expiresAt: instant(row, 'until'),
        ttlMs: int(row, 'ttl_ms'),
        cancelDeadline: instantOrNull(row, 'cancel_deadline'),
        draining: bool(row, 'draining'),
      });
  }
  const lost = beats.filter((item) => !outcomes.has(tokenKey(item)));
  const reasons = await lossReasons(run, lost);
  lost.forEach((item, index) => outcomes.set(tokenKey(item), { kind: 'lease_lost', reason: reasons[index] ?? 'NOT_HELD' }));
  return items.map((item) => outcomes.get(tokenKey(item)) ?? { kind: 'lease_lost', reason: 'NOT_HELD' });
}
