import postgres from 'postgres';
import { bind, type Run } from '../../src/repository/database.ts';
import { HOT_SETTINGS } from '../../src/repository/session.ts';
import type { Row } from '../../src/repository/row.ts';
import type { Value } from '../../src/repository/statement.ts';

export interface Explained {
  /** Tables of ours that were read from end to end. */
  readonly scanned: readonly string[];
  /** Shared buffers the statement touched. */
  readonly buffers: number;
  /** The reads and writes that touched most of them, a line each. */
  readonly heaviest: readonly string[];
}

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Index Cond'?: string;
  readonly 'Actual Rows'?: number;
  readonly 'Actual Loops'?: number;
  readonly 'Shared Hit Blocks'?: number;
  readonly 'Shared Read Blocks'?: number;
  readonly Plans?: readonly PlanNode[];
}

export interface Explaining {
  readonly run: Run;
  readonly plans: ReadonlyMap<string, Explained>;
  close(): Promise<void>;
}

/**
 * Runs statements as the hot pool does (prepared, generic plan, its settings), or under other settings, each four times: explained and undone
 * three times, then for good. `plans` has the last plan of each by name.
 */
export async function explaining(url: string, settings: Record<string, string> = HOT_SETTINGS): Promise<Explaining> {
  const sql = postgres(url, {
    max: 1,
    fetch_types: false,
    onnotice: () => undefined,
    types: { date: { to: 1184, from: [1082, 1114, 1184], serialize: String, parse: (value: string) => value } },
    connection: { TimeZone: 'UTC', ...settings },
  });
  const plans = new Map<string, Explained>();
  const run: Run = async (statement, values) => {
    const bound = bind(statement, values);
    await sql.unsafe(`prepare explained as ${statement.text}`);
    const arguments_ = bound.length === 0 ? '' : `(${bound.map(literal).join(', ')})`;
    const explain = async () => {
      await sql.unsafe('begin');
      const [row] = await sql.unsafe<Row[]>(`explain (analyze, buffers, format json) execute explained${arguments_}`);
      await sql.unsafe('rollback');
      return explainedOf(row?.['QUERY PLAN']);
    };
    // An analysis of Postgres' own that ends just now makes some of them read the catalog again.
    const plainest = [await explain(), await explain(), await explain()].reduce((one, other) =>
      other.buffers < one.buffers ? other : one,
    );
    await sql.unsafe('deallocate explained');
    plans.set(statement.name, plainest);
    return sql.unsafe<Row[]>(statement.text, bound, { prepare: true });
  };
  return { run, plans, close: () => sql.end() };
}

function literal(value: Value): string {
  if (value === null) return 'null';
  return typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : String(value);
}

function explainedOf(told: unknown): Explained {
  const [{ Plan }] = told as [{ Plan: PlanNode }];
  return {
    // What a data-modifying CTE touches is not always counted at the root: counted twice is safer than not at all.
    buffers: [Plan, ...nodesOf(Plan).filter((node) => node['Node Type'] === 'ModifyTable')].reduce((sum, node) => sum + buffersOf(node), 0),
    scanned: nodesOf(Plan)
      .filter((node) => node['Node Type'] === 'Seq Scan' && (node['Actual Loops'] ?? 0) > 0)
      .map((node) => node['Relation Name'] ?? ''),
    heaviest: nodesOf(Plan)
      .filter((node) => node['Relation Name'] !== undefined)
      .toSorted((a, b) => buffersOf(b) - buffersOf(a))
      .slice(0, 5)
      .map(readOf),
  };
}

function readOf(node: PlanNode): string {
  const { 'Node Type': kind, 'Relation Name': table, 'Index Name': index, 'Index Cond': condition } = node;
  const met = `${node['Actual Rows'] ?? 0} rows × ${node['Actual Loops'] ?? 0}`;
  return `${buffersOf(node)} by ${kind} of ${table ?? ''} ${index ?? ''} (${condition ?? ''}), ${met}`;
}

function buffersOf(node: PlanNode): number {
  return (node['Shared Hit Blocks'] ?? 0) + (node['Shared Read Blocks'] ?? 0);
}

function nodesOf(plan: PlanNode): readonly PlanNode[] {
  return [plan, ...(plan.Plans ?? []).flatMap(nodesOf)];
}
