/**
 * The bounds of queues, and the counts that keep them. Only a queue that is bounded or drains has a gate: of the others a statement
 * learns by one look into an index that there is none. Whoever adds to a count that must not be passed locks the gates first, in the
 * order of their ids; whoever lets go of a token counts last, in the same order.
 */
import { sql, type SQL } from 'drizzle-orm';
import { STATUS_CODES } from '../domain/queue.ts';
import { shard } from './statement.ts';

/** CTE `gl`: the gates of the queues `ids` (an int[]), locked. Their columns are the latest, however old the statement's snapshot. */
export const lockedGates = (ids: SQL): SQL => sql`gl as materialized (
  select g.* from stint.gate g where g.shard = ${shard} and g.queue_id = any(${ids}) order by g.queue_id for update)`;

/** Jobs that wait, of a gate `gl`. */
export const queued = sql`(gl.scheduled + gl.blocked + gl.ready + gl.retry_wait + gl.suspended)`;

/** How many more a gate `gl` lets in; null: any number. */
export const room = sql`case when gl.max_queued is not null then greatest(0, gl.max_queued - ${queued}) end`;

/** A queue `q` that takes nothing new. */
export const isDraining = sql`q.status in (${STATUS_CODES.DRAINING_BACKLOG}, ${STATUS_CODES.DRAINING_IN_FLIGHT})`;

/** Claims a second, lately, of a gate `gl`. Needs the clock `c`. */
export const drainRate = sql`(gl.claims / greatest(1, extract(epoch from c.now - gl.counted_at)))::float8`;

/**
 * The level of the token bucket of a gate: permits / period · time since it was filled, up to the burst. A clock that was read before
 * another statement's lock was waited for lies behind; nothing flows back.
 */
export const bucketLevel = (g: SQL): SQL => sql`least(${g}.rate_burst,
  ${g}.permits + greatest(0, extract(epoch from c.now - ${g}.filled_at))::float8 * 1000 / ${g}.rate_period_ms * ${g}.rate_permits)`;

/** State of a token `l` of `lease`. */
export const heldState = (l: SQL): SQL => sql`case when ${l}.started_at is null then 'LEASED' else 'RUNNING' end`;

/** By how much the tokens `t` of a state grow. */
const growth = (state: SQL): SQL => sql`count(*) filter (where t.becomes = ${state}) - count(*) filter (where t.was = ${state})`;

/** Seconds that the rate of claims looks back, once it is full; it is cut to the half of it. */
const RATE_SECONDS = 60;

/**
 * CTEs that keep the counts of the queues that have a gate. `moved` is a query of `queue_id`, `was` and `becomes`: the state of each token
 * before and after the statement; null where there is none. The gates are locked in order before they are written to: an update alone
 * comes to them in the order of whatever join it was planned with.
 */
export const counted = (moved: SQL): SQL => sql`open_gates as materialized (
  select g.queue_id from stint.gate g where g.shard = ${shard} and g.queue_id = any(array(select distinct t.queue_id from (${moved}) t))
   order by g.queue_id for update),
changes as materialized (
  select t.queue_id, ${growth(sql`'SCHEDULED'`)} as scheduled, ${growth(sql`'BLOCKED'`)} as blocked, ${growth(sql`'READY'`)} as ready, ${growth(sql`'LEASED'`)} as leased,
      ${growth(sql`'RUNNING'`)} as running, ${growth(sql`'RETRY_WAIT'`)} as retry_wait, ${growth(sql`'SUSPENDED'`)} as suspended,
      count(*) filter (where t.was = 'READY' and t.becomes in ('LEASED', 'RUNNING')) as claims
    from open_gates o join (${moved}) t on t.queue_id = o.queue_id group by t.queue_id order by t.queue_id),
counting as (
  update stint.gate g set scheduled = g.scheduled + d.scheduled, blocked = g.blocked + d.blocked, ready = g.ready + d.ready, leased = g.leased + d.leased,
      running = g.running + d.running, retry_wait = g.retry_wait + d.retry_wait, suspended = g.suspended + d.suspended,
      permits = case when g.rate_permits is null then g.permits else ${bucketLevel(sql`g`)} - d.claims end,
      filled_at = greatest(g.filled_at, c.now),
      claims = d.claims + case when c.now - g.counted_at > ${RATE_SECONDS} * interval '1 second'
        then (g.claims * ${RATE_SECONDS / 2} / extract(epoch from c.now - g.counted_at))::bigint else g.claims end,
      counted_at = case when c.now - g.counted_at > ${RATE_SECONDS} * interval '1 second'
        then c.now - ${RATE_SECONDS / 2} * interval '1 second' else g.counted_at end
    from changes d cross join c where g.shard = ${shard} and g.queue_id = d.queue_id)`;
