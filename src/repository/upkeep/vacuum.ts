import { sql } from 'drizzle-orm';
import type { Run } from '../database.ts';
import { bool, int, text, textOrNull } from '../row.ts';
import { shard, statement } from '../statement.ts';

/** Tables whose rows come and go. What skips a lock leaves the table to whoever has it; nobody waits for a truncation. */
const VACUUMS = {
  ready: statement<never>('vacuum-ready', sql`vacuum (skip_locked, truncate off) stint.ready`),
  lease: statement<never>('vacuum-lease', sql`vacuum (skip_locked, truncate off) stint.lease`),
  session: statement<never>('vacuum-session', sql`vacuum (skip_locked, truncate off) stint.session`),
  deferred: statement<never>('vacuum-deferred', sql`vacuum (skip_locked, truncate off) stint.deferred`),
  parked: statement<never>('vacuum-parked', sql`vacuum (skip_locked, truncate off) stint.parked`),
  gate: statement<never>('vacuum-gate', sql`vacuum (skip_locked, truncate off) stint.gate`),
  slot: statement<never>('vacuum-slot', sql`vacuum (skip_locked, truncate off) stint.slot`),
  floor: statement<never>('vacuum-floor', sql`vacuum (skip_locked, truncate off) stint.floor`),
} as const;

export type HotTable = keyof typeof VACUUMS;

export interface TableLook {
  readonly table: HotTable;
  /** As the statistics tell: about right, and late by about a second. */
  readonly dead: number;
  readonly live: number;
  /** Whether the service may vacuum it. */
  readonly ours: boolean;
}

export interface TablesLook {
  /** The oldest transaction id that somebody's snapshot holds: what was deleted since cannot be cleaned. Null: nobody holds any. */
  readonly horizon: string | null;
  readonly hasFloors: boolean;
  readonly tables: readonly TableLook[];
}

/** Statistics by function: the views read those of every table. A vacuum holds back nothing, though its session shows a snapshot. */
const lookAtTablesStatement = statement<never>(
  'look-at-tables',
  sql`select h.horizon, exists (select 1 from stint.floor where shard = ${shard}) as has_floors,
      t.name, pg_stat_get_dead_tuples(c.oid) as dead, pg_stat_get_live_tuples(c.oid) as live, pg_has_role(c.relowner, 'USAGE') as ours
    from (
      select (array_agg(s.xmin::text order by age(s.xmin) desc))[1] as horizon from (
        select unnest(array[a.backend_xmin, a.backend_xid]) as xmin from pg_stat_activity a
         where (a.datname = current_database() or a.backend_type = 'walsender') and a.pid <> pg_backend_pid()
           and a.pid not in (select v.pid from pg_stat_progress_vacuum v)
        union all
        select p.transaction from pg_prepared_xacts p where p.database = current_database()
        union all
        select r.xmin from pg_replication_slots r) s
       where s.xmin is not null) h
    cross join unnest(array['ready', 'lease', 'session', 'deferred', 'parked', 'gate', 'slot', 'floor']) as t(name)
    join pg_class c on c.oid = ('stint.' || t.name)::regclass`,
);

export async function lookAtTables(run: Run): Promise<TablesLook> {
  const rows = await run(lookAtTablesStatement, {});
  const [row] = rows;
  if (row === undefined) throw new Error('the look at the tables answered nothing');
  return {
    horizon: textOrNull(row, 'horizon'),
    hasFloors: bool(row, 'has_floors'),
    tables: rows.map((one) => ({
      table: parseTable(text(one, 'name')),
      dead: int(one, 'dead'),
      live: int(one, 'live'),
      ours: bool(one, 'ours'),
    })),
  };
}

function parseTable(name: string): HotTable {
  const table = Object.keys(VACUUMS).find((one) => one === name);
  if (table === undefined) throw new Error(`the look at the tables told of ${name}`);
  return table as HotTable;
}

const analyzeOutgrownStatement = statement<never>('analyze-outgrown', sql`select stint.analyze_outgrown() as count`);

/** Tells the planner of each table that has doubled since it was told last: until then kept plans are those for a smaller one. */
export async function analyzeOutgrown(run: Run): Promise<void> {
  await run(analyzeOutgrownStatement, {});
}

export async function vacuum(run: Run, table: HotTable): Promise<void> {
  await run(VACUUMS[table], {});
}
