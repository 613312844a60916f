import type { Sql } from 'postgres';
import type { LagProbe } from './lag.ts';
import type { Stage } from './stage.ts';

/** What one look finds: figures by name. Those of a replica begin with its number. */
export interface Sample {
  /** Since the load began. */
  readonly atMs: number;
  readonly figures: Readonly<Record<string, number>>;
}

const MIB = 1024 * 1024;

export class Sampler {
  readonly #stage: Stage;
  readonly #lag: LagProbe;
  readonly #startedAt = performance.now();
  readonly samples: Sample[] = [];

  constructor(stage: Stage, lag: LagProbe) {
    this.#stage = stage;
    this.#lag = lag;
  }

  async take(): Promise<Sample> {
    const atMs = performance.now() - this.#startedAt;
    const { replicas, sql } = this.#stage;
    const memory = await Promise.all(replicas.map((replica) => replica.measure()));
    const figures = Object.fromEntries([
      ...memory.flatMap(({ heapBytes, externalBytes, rssBytes, handles }, at) => [
        [`${at + 1} heap MiB`, heapBytes / MIB],
        [`${at + 1} buffers MiB`, externalBytes / MIB],
        [`${at + 1} RSS MiB`, rssBytes / MIB],
        [`${at + 1} sockets`, handles['TCPSocketWrap'] ?? 0],
        [`${at + 1} timers`, handles['Timeout'] ?? 0],
      ]),
      ...Object.entries(await connections(sql)),
      ...Object.entries(await tables(sql)),
      ['feed lag ms', await this.#lag.measure()],
    ]);
    const sample = { atMs, figures };
    this.samples.push(sample);
    return sample;
  }
}

async function connections(sql: Sql): Promise<Record<string, number>> {
  const [row] = await sql<{ open: number; idle: number }[]>`
    select count(*)::int as open, count(*) filter (where state like 'idle in transaction%')::int as idle
      from pg_stat_activity where application_name like 'stint %'`;
  return { 'database connections': row?.open ?? 0, 'idle in transaction': row?.idle ?? 0 };
}

/** Partitions count as the table they are of. */
async function tables(sql: Sql): Promise<Record<string, number>> {
  const rows = await sql<{ name: string; dead: number; mib: number }[]>`
    select coalesce(parent.relname, t.relname) as name, sum(t.n_dead_tup)::float8 as dead, sum(pg_total_relation_size(t.relid))::float8 / 1048576 as mib
      from pg_stat_user_tables t left join pg_inherits i on i.inhrelid = t.relid left join pg_class parent on parent.oid = i.inhparent
     where t.schemaname = 'stint' group by 1 order by 1`;
  const moving = new Set(['ready', 'lease', 'deferred']);
  return {
    'tables MiB': rows.reduce((sum, { mib }) => sum + mib, 0),
    'dead rows': rows.reduce((sum, { dead }) => sum + dead, 0),
    ...Object.fromEntries(rows.filter(({ name }) => moving.has(name)).map(({ name, mib }) => [`${name} MiB`, mib])),
  };
}
