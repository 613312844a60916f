/**
 * Beat: a session lives its whole duration again from now, and with it every lease that it keeps. One row is written for all of them; the
 * leases are only read. A session that has lapsed stays so, for its leases may have gone to others.
 */
import { sql } from 'drizzle-orm';
import type { SessionBeat, SessionBeaten } from '../../engine/ports/work.ts';
import { plainArray } from '../array.ts';
import { clockBehind } from '../clock.ts';
import type { Run } from '../database.ts';
import { heldValues, placed } from '../held-leases.ts';
import { int, text } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { isDraining, parseRenewed } from './renewed.ts';

type BeatParam = 'now' | 'openings' | 'durations' | 'sessions' | 'n' | 'ofSessions' | 'jobs' | 'fences' | 'secrets';

/**
 * The sessions are locked in id order, and the clock is read behind that: whoever ended leases of a session held its lock, and found it
 * lapsed by an earlier clock. So what a session keeps that has not lapsed here is still there, whatever this statement's snapshot shows of it.
 */
const beatSessionsStatement = statement<BeatParam>(
  'beat-sessions',
  sql`with k as materialized (
    select x.* from unnest(${param('sessions')}::uuid[]) as i(id) cross join lateral (
      select s.* from stint.session s where s.shard = ${shard} and s.id = i.id for update) x),
  ${clockBehind(sql`k`)},
  r as materialized (
    select k.id, greatest(k.until, c.now + k.duration_ms * interval '1 millisecond') as until from k cross join c where k.until > c.now),
  u as (
    update stint.session set until = greatest(until, (select now from c) + duration_ms * interval '1 millisecond')
     where shard = ${shard} and id = any(array(select id from r))),
  o as (
    insert into stint.session (shard, id, until, duration_ms)
    select ${shard}, i.id, c.now + i.duration_ms * interval '1 millisecond', i.duration_ms
      from unnest(${param('openings')}::uuid[], ${param('durations')}::int[]) as i(id, duration_ms) cross join c)
  select r.id, t.n, t.cancel_deadline, e.until, floor(extract(epoch from e.until - c.now) * 1000)::int as ttl_ms, ${isDraining(sql`t`)} as draining
    from r cross join c left join (
      select i.n, l.* from unnest(${param('n')}::int[], ${param('ofSessions')}::uuid[], ${param('jobs')}::uuid[], ${param('fences')}::bigint[],
          ${param('secrets')}::uuid[]) as i(n, of_session, of_job, of_fence, of_token)
        cross join lateral (
          select l.session, l.queue_id, l.cancel_deadline, l.run_until, l.life_until from stint.lease l
           where l.shard = ${shard} and l.job = i.of_job and l.token = i.of_token and l.fence = i.of_fence and l.session = i.of_session
           offset 0) l) t on t.session = r.id and least(r.until, t.cancel_deadline, t.run_until, t.life_until) > c.now
    cross join lateral (select least(r.until, t.cancel_deadline, t.run_until, t.life_until) as until) e`,
);

/**
 * Positional: of each beat which leases go on, null for those that the session does not keep. Null for a session that has lapsed: nothing was
 * renewed. One that opens keeps nothing yet.
 */
export async function beatSessions(run: Run, now: string | null, beats: readonly SessionBeat[]): Promise<readonly SessionBeaten[]> {
  const opening = beats.filter(({ opensForMs }) => opensForMs !== null);
  const going = beats.filter(({ opensForMs }) => opensForMs === null);
  const listed = placed(going.flatMap(({ sessionId, items }) => items.map(({ token }) => ({ token, sessionId }))));
  const rows = await run(beatSessionsStatement, {
    now,
    openings: plainArray(opening.map(({ sessionId }) => sessionId)),
    durations: plainArray(opening.map(({ opensForMs }) => opensForMs)),
    sessions: plainArray([...new Set(going.map(({ sessionId }) => sessionId))].toSorted()),
    ofSessions: plainArray(listed.map(({ item }) => item.sessionId)),
    ...heldValues(listed),
  });
  const alive = new Set(rows.map((row) => text(row, 'id')));
  const renewed = new Map(rows.filter((row) => row['n'] !== null).map((row) => [int(row, 'n'), parseRenewed(row)]));
  let place = 0;
  return beats.map(({ sessionId, opensForMs, items }) => {
    if (opensForMs !== null) return items.map(() => null);
    const kept = items.map(() => renewed.get(place++) ?? null);
    return alive.has(sessionId) ? kept : null;
  });
}
