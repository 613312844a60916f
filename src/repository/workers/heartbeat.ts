import { sql, type SQL } from 'drizzle-orm';
import { LIMITS } from '../../domain/limits.ts';
import type { HeartbeatItem } from '../../engine/ports/repository.ts';
import type { HeartbeatOutcome } from '../../engine/ports/leases.ts';
import { byteaArray, plainArray } from '../array.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { distinctSorted, heldLeases, heldValues, placed, tokenKey, type HeldParam } from '../held-leases.ts';
import { int } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { lossReasons } from './lost-lease.ts';
import { isDraining, parseRenewed } from './renewed.ts';

/** Until when a lease is renewed. */
const renewed = (lease: SQL) =>
  sql`least((select now from c) + ${lease}.duration_ms * interval '1 millisecond', ${lease}.cancel_deadline, ${lease}.run_until, ${lease}.life_until)`;

const withCheckpoint = sql`checkpointed = true, size = case when checkpointed then size else size + ${LIMITS.checkpointBytes} end`;

/** The session of the beat, where it runs as long as the lease. */
const keeper = sql`, (
      select s.id from stint.session s where s.shard = ${shard} and s.id = i.of_session and s.duration_ms = l.duration_ms) as keeper`;

/** The same for an update by job: arrays, for what it would join is joined row by row, and read anew where a row has moved. */
const keeperOfJob = sql`(array(select keeper from m order by job))[array_position(array(select job from m order by job), job)]`;

/**
 * Heartbeat: the lease runs its whole duration again from now, but not past its end. Touches no indexed column, so the update
 * stays on its page (HOT). The first checkpoint of a job adds the largest one to its size, so that a claim's response stays bounded.
 * A lease that a session lists is kept by it from here on, where both run as long: one beat then promises what the other does.
 */
const heartbeatStatement = statement<HeldParam | 'checkpoints' | 'sessions'>(
  'heartbeat',
  sql`with ${clock},
  ${heldLeases({
    extraArrays: sql`, ${param('checkpoints')}::bytea[], ${param('sessions')}::uuid[]`,
    extraColumns: sql`, checkpoint, of_session`,
    derived: keeper,
  })},
  u as (
    update stint.lease set until = ${renewed(sql`lease`)}
     where shard = ${shard} and job = any(array(select job from m where keeper is null and checkpoint is null))),
  k as (
    update stint.lease set until = ${renewed(sql`lease`)}, ${withCheckpoint}
     where shard = ${shard} and job = any(array(select job from m where keeper is null and checkpoint is not null))),
  s as (
    update stint.lease set until = ${renewed(sql`lease`)}, session = ${keeperOfJob}
     where shard = ${shard} and job = any(array(select job from m where keeper is not null and checkpoint is null))),
  b as (
    update stint.lease set until = ${renewed(sql`lease`)}, session = ${keeperOfJob}, ${withCheckpoint}
     where shard = ${shard} and job = any(array(select job from m where keeper is not null and checkpoint is not null))),
  p as (
    insert into stint.checkpoint (shard, job, fence, data)
    select ${shard}, job, fence, checkpoint from m where checkpoint is not null
    on conflict (shard, job, fence) do update set data = excluded.data)
  select t.*, floor(extract(epoch from t.until - c.now) * 1000)::int as ttl_ms from c cross join lateral (
    select n, cancel_deadline, ${renewed(sql`m`)} as until, ${isDraining(sql`m`)} as draining from m) t`,
);

export async function heartbeatMany(run: Run, now: string | null, items: readonly HeartbeatItem[]): Promise<readonly HeartbeatOutcome[]> {
  const latest = new Map<string, HeartbeatItem>();
  for (const item of items) {
    const before = latest.get(tokenKey(item));
    const session = item.session ?? before?.session ?? null;
    latest.set(tokenKey(item), { token: item.token, checkpoint: item.checkpoint ?? before?.checkpoint ?? null, session });
  }
  const beats = [...latest.values()];
  const sent = distinctSorted(placed(beats));
  const rows = await run(heartbeatStatement, {
    now,
    ...heldValues(sent),
    checkpoints: byteaArray(sent.map(({ item }) => item.checkpoint)),
    sessions: plainArray(sent.map(({ item }) => item.session ?? null)),
  });
  const outcomes = new Map<string, HeartbeatOutcome>();
  for (const row of rows) {
    const item = beats[int(row, 'n')];
    if (item !== undefined) outcomes.set(tokenKey(item), parseRenewed(row));
  }
  const lost = beats.filter((item) => !outcomes.has(tokenKey(item)));
  const reasons = await lossReasons(run, lost);
  lost.forEach((item, index) => outcomes.set(tokenKey(item), { kind: 'lease_lost', reason: reasons[index] ?? 'NOT_HELD' }));
  return items.map((item) => outcomes.get(tokenKey(item)) ?? { kind: 'lease_lost', reason: 'NOT_HELD' });
}
