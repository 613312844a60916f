/**
 * The slots of concurrency keys. A job that becomes READY or is claimed holds one; the others of its key are BLOCKED. Every statement that
 * moves a job of a key counts it here, in its own commit, and says whether to look who may become READY: that is done by `unblock`. What
 * has no key costs a statement no more than to see that it has none.
 */
import { sql, type SQL } from 'drizzle-orm';
import { shard } from './statement.ts';

/** The level of the token bucket of a key's slots `s`, by the rate of its queue `q`; as that of a gate. Needs the clock `c`. */
export const keyLevel = (s: SQL): SQL => sql`least(q.key_rate_burst,
  ${s}.permits + greatest(0, extract(epoch from c.now - ${s}.filled_at))::float8 * 1000 / q.key_rate_period_ms * q.key_rate_permits)`;

/** Takes part in no move of these: slots come after the gates, wherever both are locked. */
const behindGates = sql`(select count(*) from open_gates)`;

/**
 * CTE `touched` behind those of `counted`: `moved` is a query of `queue_id`, `lock_key`, and by how many slots `held` and `ready` grow; with
 * `paused_until` where it says so. Whoever comes first makes the row, with a full bucket. In the order of the keys: opposite orders deadlock.
 */
export const touchedSlots = (moved: SQL, pausedUntil: SQL = sql`null::timestamptz`): SQL => sql`touched as (
  insert into stint.slot (shard, queue_id, key, held, ready, permits, filled_at, paused_until, wake_at)
  select ${shard}, t.queue_id, t.lock_key, sum(t.held), sum(t.ready),
      (select coalesce(q.key_rate_burst, 0) from stint.queue q where q.shard = ${shard} and q.id = t.queue_id), c.now, max(${pausedUntil}), c.now
    from (${moved}) t cross join c cross join ${behindGates} g where t.lock_key is not null
   group by t.queue_id, t.lock_key, c.now order by t.queue_id, t.lock_key
  on conflict (shard, queue_id, key) do update set held = slot.held + excluded.held, ready = slot.ready + excluded.ready,
      paused_until = greatest(slot.paused_until, excluded.paused_until), wake_at = least(slot.wake_at, excluded.wake_at)
  returning true)`;

/**
 * The same for claims of the tokens `given`: each takes a permit of its key, where the queue has a rate for them, and only then there is
 * something to look for afterwards.
 */
export const claimedSlots = sql`touched as (
  update stint.slot s set ready = s.ready - d.n, permits = case when q.key_rate_permits is null then s.permits else ${keyLevel(sql`s`)} - d.n end,
      filled_at = greatest(s.filled_at, c.now), wake_at = case when q.key_rate_permits is null then s.wake_at else least(s.wake_at, c.now) end
    from (
      select l.queue_id, l.lock_key, l.n from (
          select queue_id, lock_key, count(*)::int as n from given cross join ${behindGates} b where lock_key is not null
           group by queue_id, lock_key order by queue_id, lock_key) l
        cross join lateral (select true from stint.slot where shard = ${shard} and queue_id = l.queue_id and key = l.lock_key for update) k) d
    cross join c
    cross join lateral (select * from stint.queue where shard = ${shard} and id = d.queue_id offset 0) q
   where s.shard = ${shard} and s.queue_id = d.queue_id and s.key = d.lock_key)`;

/** Whether a statement touched any. */
export const isTouched = sql`exists (select 1 from touched)`;

/** The tokens of `source` in flight leave their slots: for `touchedSlots`. */
export const freedBy = (source: SQL): SQL => sql`select queue_id, lock_key, -1 as held, 0 as ready from ${source}`;
