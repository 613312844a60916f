import { sql, type SQL } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import { shard } from '../statement.ts';

/**
 * Lateral `p`: what the events of job `j` say beyond its record. Its position, with which a READY job is found in `ready` by that
 * table's only index; the time that an update gave it (microseconds, 0 for at once); what was asked last, with the life it was
 * asked in; and the latest life that any of them is of: a terminal row of an earlier one is not where the job stands.
 */
export const position = positionFrom(sql`true`);

/** The same from those of its events `e` that meet a condition. */
export function positionFrom(condition: SQL): SQL {
  return sql`
  cross join lateral (
    select coalesce((array_agg(e.rank order by e.seq desc) filter (where e.rank is not null))[1], j.rank) as rank,
           coalesce((array_agg(e.ord order by e.seq desc) filter (where e.ord is not null))[1], j.ord, -1) as ord,
           (array_agg(e.detail::jsonb ->> 'r' order by e.seq desc) filter (
             where e.type = ${EVENT_CODES.updated} and e.detail::jsonb ->> 'r' is not null))[1]::bigint as updated_run_at,
           max(e.life) as event_life,
           max(e.life) filter (where e.type = ${EVENT_CODES.cancel_requested}) as cancel_life,
           max(e.at) filter (where e.type = ${EVENT_CODES.cancel_requested}) as cancel_at,
           (array_agg(e.detail order by e.seq desc) filter (where e.type = ${EVENT_CODES.cancel_requested}))[1] as cancel_detail,
           max(e.life) filter (where e.type = ${EVENT_CODES.abandon_requested}) as abandon_life,
           max(e.at) filter (where e.type = ${EVENT_CODES.abandon_requested}) as abandon_at
      from stint.job_event e where e.shard = ${shard} and e.job = j.id and ${condition}) p`;
}
