/**
 * BLOCKED jobs become READY as far as their key has slots and permits, the best first by priority and position; a READY one that nobody has
 * claimed makes way for a better one, and for all while its key is paused. Looks only at the keys that a statement has touched, or whose
 * time has come.
 *
 * One transaction of three statements, for a statement that waited for a lock still reads the rest with its old snapshot: the gates are
 * locked first, then the keys' slots, then what they let in is read.
 */
import { sql, type SQL } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import type { Micros } from '../../domain/job.ts';
import type { Unblocked } from '../../engine/ports/upkeep.ts';
import { plainArray, textArray } from '../array.ts';
import { clock } from '../clock.ts';
import type { Database, Run } from '../database.ts';
import { counted } from '../gates.ts';
import { moves } from '../moves.ts';
import { instant, int, jobId, text, textOrNull, type Row } from '../row.ts';
import { keyLevel } from '../slots.ts';
import { sortedByRecord } from '../sorted-queues.ts';
import { param, shard, statement } from '../statement.ts';
import { carried, giveUpAt, PARKED } from '../tokens.ts';
import { parseRound } from '../upkeep-round.ts';

/** Until a key is looked at again where some of its jobs were locked by others, in milliseconds. */
const AGAIN_MS = 50;

const isDue = sql`s.wake_at is not null and s.wake_at <= (select now from c)`;

/** Of all queues, or of one. */
const dueOfAny = sql`select s.queue_id, s.key from stint.slot s
  where s.shard = ${shard} and ${isDue} and (${param('queueId')}::int is null or s.queue_id = ${param('queueId')}::int)
  order by s.wake_at limit ${param('limit')}::int`;

/** Of those that are named. */
const dueOfNamed = sql`select s.queue_id, s.key
   from (select distinct q.id, i.key from unnest(${param('namespaces')}::text[], ${param('names')}::text[], ${param('keys')}::text[]) as i(namespace, name, key)
         join stint.queue q on q.shard = ${shard} and q.namespace = i.namespace and q.name = i.name order by q.id, i.key offset 0) k
  cross join lateral (select * from stint.slot s where s.shard = ${shard} and s.queue_id = k.id and s.key = k.key and ${isDue}`;

const lockGates = (due: SQL) => sql`with ${clock}, d as materialized (${due})
  select c.now, d.n, (select count(*) from (
      select g.queue_id from stint.gate g where g.shard = ${shard} and g.queue_id = any(d.ids) order by g.queue_id for update) x) as gates
    from (select count(*)::int as n, array_agg(distinct queue_id) as ids from d) d cross join c`;

const ANY = {
  lockGates: statement<'now' | 'queueId' | 'limit'>('lock-gates-of-due-keys', lockGates(dueOfAny)),
  lockKeys: statement<'now' | 'queueId' | 'limit'>('lock-due-keys', sql`with ${clock} ${dueOfAny} for update skip locked`),
};

const NAMED = {
  lockGates: statement<'now' | 'namespaces' | 'names' | 'keys'>('lock-gates-of-keys', lockGates(sql`${dueOfNamed}) s`)),
  lockKeys: statement<'now' | 'namespaces' | 'names' | 'keys'>('lock-keys-of-jobs', sql`with ${clock} ${dueOfNamed} for update) s`),
};

/** How many of a key may be READY: as many as find a slot, and no more than its bucket has permits for. */
const places = sql`t as materialized (
  select s.*, q.concurrency_per_key as most, q.concurrency_hold, q.key_rate_permits, q.key_rate_period_ms, q.key_rate_burst,
      case when q.key_rate_permits is not null then ${keyLevel(sql`s`)} end as level, s.paused_until > c.now as is_paused
    from unnest(${param('queueIds')}::int[], ${param('keys')}::text[]) as i(queue_id, key) cross join c
    cross join lateral (select * from stint.slot where shard = ${shard} and queue_id = i.queue_id and key = i.key offset 0) s
    cross join lateral (select * from stint.queue where shard = ${shard} and id = i.queue_id offset 0) q),
unclaimed as materialized (
  select x.*, t.concurrency_hold and (x.attempt > 0 or x.releases > 0) as holds from t cross join lateral (
    select r.ctid as tid, r.* from stint.ready r where r.shard = ${shard} and r.queue_id = t.queue_id and r.lock_key = t.key
     order by r.rank, r.ord for update skip locked) x),
p as materialized (
  select o.*, case when o.is_paused then 0 else greatest(0, least(o.open, o.permitted)) end as places
    from (
      select t.*, t.most - t.held + u.n + k.n as open, floor(t.level)::int - (t.ready - u.n) as permitted
        from t cross join lateral (select count(*)::int as n from unclaimed where queue_id = t.queue_id and lock_key = t.key) u
       cross join lateral (
         select count(*)::int as n from stint.parked b
          where b.shard = ${shard} and b.kind = ${PARKED.blocked} and b.queue_id = t.queue_id and b.lock_key = t.key and b.holds) k) o)`;

/** The best of those that are READY and those that wait. */
const chosen = sql`waiting as materialized (
  select x.* from p cross join lateral (
    select k.* from stint.parked k
     where k.shard = ${shard} and k.kind = ${PARKED.blocked} and k.queue_id = p.queue_id and k.lock_key = p.key
     order by k.holds desc, k.rank, k.ord, k.job limit p.places for update skip locked) x
   where p.places > 0),
ranked as materialized (
  select a.*, row_number() over (partition by a.queue_id, a.lock_key order by a.holds desc, a.rank, a.ord, a.job) as place from (
    select tid, true as is_ready, holds, queue_id, rank, ord, job, attempt, fence, life, seq, releases, ${carried} from unclaimed
    union all
    select null, false, holds, queue_id, rank, ord, job, attempt, fence, life, seq, releases, ${carried} from waiting) a),
z as materialized (
  select r.tid, r.queue_id, r.rank, r.ord, r.job, r.attempt, r.fence, r.life, r.seq + 1 as seq, r.releases, ${carried}, r.holds, not r.is_ready as becomes_ready
    from ranked r join p on p.queue_id = r.queue_id and p.key = r.lock_key
   where r.is_ready <> (r.place <= p.places))`;

const states = sql`select queue_id, case when becomes_ready then 'BLOCKED' else 'READY' end as was,
    case when becomes_ready then 'READY' else 'BLOCKED' end as becomes from z`;

const moved = sql`gone_blocked as (
  delete from stint.parked where shard = ${shard} and job = any(array(select job from z where becomes_ready)) returning job),
gone_ready as (
  delete from stint.ready where shard = ${shard} and ctid = any(array(select tid from z where not becomes_ready)) returning job),
in_ready as (
  insert into stint.ready (shard, queue_id, rank, ord, job, attempt, fence, life, seq, releases, ${carried}, give_up_at, type)
  select ${shard}, queue_id, rank, ord, job, attempt, fence, life, seq, releases, ${carried}, ${giveUpAt}, ${sortedByRecord}
    from z x join gone_blocked using (job) cross join c),
in_blocked as (
  insert into stint.parked (shard, job, kind, queue_id, rank, ord, attempt, fence, life, seq, releases, ${carried}, holds)
  select ${shard}, job, ${PARKED.blocked}, queue_id, rank, ord, attempt, fence, life, seq, releases, ${carried}, holds from z join gone_ready using (job)),
told as materialized (
  select z.*, case when becomes_ready then ${EVENT_CODES.ready} else ${EVENT_CODES.updated} end as type,
      case when not becomes_ready then '{"s":"BLOCKED"}' end as detail from z order by job),
h as (
  insert into stint.job_event (shard, job, seq, type, at, life, attempt, fence, rank, ord, detail)
  select ${shard}, job, seq, type, c.now, life, attempt, fence, rank, ord, detail from told cross join c),
e as (
  insert into stint.journal (shard, epoch, at, types, jobs, seqs, queue_ids, lives, attempts, fences, details, moves)
  select ${shard}, c.epoch, c.now, array_agg(type), array_agg(job), array_agg(seq), array_agg(queue_id), array_agg(life), array_agg(attempt),
      array_agg(fence), case when bool_or(detail is not null) then array_agg(detail) end, ${moves(states)}
    from told cross join c group by c.epoch, c.now)`;

/** When to look again, where more wait than were let in: once the pause is over, or the next permit has come, or others are done. */
const left = sql`left_over as materialized (
  select p.*, n.grown, n.held_more,
      exists (select 1 from stint.parked k where k.shard = ${shard} and k.kind = ${PARKED.blocked} and k.queue_id = p.queue_id and k.lock_key = p.key
         and not exists (select 1 from z where z.job = k.job)) or n.displaced > 0 as waits, n.filled
    from p cross join lateral (
      select count(*) filter (where becomes_ready)::int - count(*) filter (where not becomes_ready)::int as grown,
             count(*) filter (where becomes_ready and not holds)::int - count(*) filter (where not becomes_ready and not holds)::int as held_more,
             count(*) filter (where not becomes_ready) as displaced,
             (select count(*) from ranked r where r.queue_id = p.queue_id and r.lock_key = p.key and r.place <= p.places) as filled
        from z where z.queue_id = p.queue_id and z.lock_key = p.key) n),
next as materialized (
  select l.queue_id, l.key, l.grown, l.held_more,
      case when l.waits and l.is_paused then l.paused_until
        when l.waits and l.filled < l.places then c.now + ${AGAIN_MS} * interval '1 millisecond'
        when l.waits and l.permitted < l.open then c.now + (floor(l.level) + 1 - l.level) * l.key_rate_period_ms / l.key_rate_permits * interval '1 millisecond'
        when l.held + l.held_more = 0 and l.is_paused then l.paused_until
        when l.held + l.held_more = 0 and l.level < l.key_rate_burst
          then c.now + (l.key_rate_burst - l.level) * l.key_rate_period_ms / l.key_rate_permits * interval '1 millisecond'
      end as wake_at, l.waits
    from left_over l cross join c),
over as (
  delete from stint.slot s using next n
   where s.shard = ${shard} and s.queue_id = n.queue_id and s.key = n.key and s.held + n.held_more = 0 and not n.waits and n.wake_at is null),
rest as (
  update stint.slot s set held = s.held + n.held_more, ready = s.ready + n.grown, wake_at = n.wake_at
    from next n
   where s.shard = ${shard} and s.queue_id = n.queue_id and s.key = n.key and not (s.held + n.held_more = 0 and not n.waits and n.wake_at is null))`;

const unblockStatement = statement<'now' | 'queueIds' | 'keys'>(
  'unblock',
  sql`with ${clock}, ${places}, ${chosen}, ${moved}, ${left},
  ${counted(states)}
  select c.now, (select count(*)::int from z where becomes_ready) as count, (select min(wake_at) from next) as next_due_at,
      (select coalesce(jsonb_agg(distinct jsonb_build_array(q.namespace, q.name)), '[]') from z
        cross join lateral (select namespace, name from stint.queue where shard = ${shard} and id = z.queue_id offset 0) q where becomes_ready) as ready_queues,
      m.job, m.becomes_ready
    from c left join z m on true`,
);

/** A key of a queue, by the queue's name. */
export interface QueueKey {
  readonly namespace: string;
  readonly queue: string;
  readonly concurrencyKey: string;
}

/** At most `limit` keys. Those that another holds are left to it: it looks after its commit. */
export function unblock(database: Pick<Database, 'transaction'>, now: string | null, limit: number): Promise<Unblocked> {
  return database.transaction((run) => unblockIn(run, now, limit, null));
}

/** The same in the transaction of another change, for one queue or for all. */
export async function unblockIn(run: Run, now: string | null, limit: number, queueId: number | null): Promise<Unblocked> {
  const [found] = await run(ANY.lockGates, { now, queueId, limit });
  return give(run, now, found, limit, () => run(ANY.lockKeys, { now, queueId, limit }));
}

/** These keys, and whoever holds one is waited for: once this has answered, their slots are given. */
export function unblockKeys(database: Pick<Database, 'transaction'>, now: string | null, keys: readonly QueueKey[]): Promise<Unblocked> {
  const values = {
    now,
    namespaces: textArray(keys.map(({ namespace }) => namespace)),
    names: textArray(keys.map(({ queue }) => queue)),
    keys: textArray(keys.map(({ concurrencyKey }) => concurrencyKey)),
  };
  return database.transaction(async (run) => {
    const [found] = await run(NAMED.lockGates, values);
    return give(run, now, found, Number.POSITIVE_INFINITY, () => run(NAMED.lockKeys, values));
  });
}

async function give(
  run: Run,
  now: string | null,
  found: Row | undefined,
  limit: number,
  lockKeys: () => Promise<readonly Row[]>,
): Promise<Unblocked> {
  if (found === undefined) throw new Error('the look for keys answered nothing');
  const keys = int(found, 'n') > 0 ? await lockKeys() : [];
  if (keys.length === 0) return nothing(instant(found, 'now'));
  const rows = await run(unblockStatement, {
    now,
    queueIds: plainArray(keys.map((row) => int(row, 'queue_id'))),
    keys: textArray(keys.map((row) => text(row, 'key'))),
  });
  return { ...parseRound(rows, limit), more: keys.length >= limit, jobs: rows.flatMap(movedJob) };
}

const nothing = (databaseTime: Micros): Unblocked => ({
  count: 0,
  more: false,
  nextDueAt: null,
  databaseTime,
  readyQueues: [],
  touchesKeys: false,
  jobs: [],
});

function movedJob(row: Row): Unblocked['jobs'] {
  return textOrNull(row, 'job') === null ? [] : [{ jobId: jobId(row, 'job'), state: row['becomes_ready'] === true ? 'READY' : 'BLOCKED' }];
}
