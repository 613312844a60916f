import { randomUUID } from 'node:crypto';
import postgres, { type Sql } from 'postgres';
import { z } from 'zod';
import { bind, type Run } from '../../src/repository/database.ts';
import { HOT_SETTINGS } from '../../src/repository/session.ts';
import type { Row } from '../../src/repository/row.ts';
import { createQueues } from '../../src/repository/queues/resolve-queues.ts';
import type { Value } from '../../src/repository/statement.ts';
import { claim } from '../../src/repository/workers/claim.ts';
import { LEASE_MS, WORKER_ID } from '../payload.ts';
import { quantile } from '../statistics.ts';

/** What the statement of a claim takes by itself. */
export interface ExplainedClaim {
  /** Shared buffers, in the cache or not. */
  readonly buffers: number;
  /** Median. */
  readonly statementMs: number;
}

/** The first fills caches, and sets hints on rows that nobody has read; the least of the rest is what the statement needs. */
const TRIES = 6;

const node = z.object({
  'Node Type': z.string(),
  'Shared Hit Blocks': z.int(),
  'Shared Read Blocks': z.int(),
  get Plans() {
    return z.array(node).optional();
  },
});
type Node = z.infer<typeof node>;

const told = z.tuple([z.object({ Plan: node, 'Execution Time': z.number() })]);

/** Explains what a claim of so many jobs of a queue runs, as the service runs it, and undoes it: not a job is taken. */
export async function explainClaim(url: string, queue: string, jobs: number): Promise<ExplainedClaim> {
  const sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => undefined, connection: { TimeZone: 'UTC', ...HOT_SETTINGS } });
  const plain: Run = async (statement, values) => sql.unsafe<Row[]>(statement.text, bind(statement, values), { prepare: true });
  const tries: z.infer<typeof told>[0][] = [];
  const explained: Run = async ({ text, ...rest }, values) => {
    const bound = bind({ text, ...rest }, values);
    await sql.unsafe(`prepare explained as ${text}`);
    for (let count = 0; count < TRIES; count += 1) tries.push(await explain(sql, bound));
    return [];
  };
  try {
    const queues = await createQueues(plain, [{ namespace: 'default', name: queue }]);
    const slot = {
      ...{ workerId: WORKER_ID, maxJobs: jobs, leaseDurationMs: LEASE_MS, startOnClaim: true },
      ...{ requestId: null, secret: randomUUID() },
    };
    await claim(explained, null, queues, [slot]);
  } finally {
    await sql.end({ timeout: 5 });
  }
  const times = tries.map((one) => one['Execution Time']).toSorted((a, b) => a - b);
  return { buffers: Math.min(...tries.map(({ Plan }) => buffersOf(Plan))), statementMs: quantile(times, 0.5) };
}

async function explain(sql: Sql, bound: readonly Value[]): Promise<z.infer<typeof told>[0]> {
  await sql.unsafe('begin');
  const [row] = await sql.unsafe<Row[]>(`explain (analyze, buffers, format json) execute explained(${bound.map(literal).join(', ')})`);
  await sql.unsafe('rollback');
  const [one] = told.parse(row?.['QUERY PLAN']);
  return one;
}

/** What a CTE that writes touches is not always counted at the root: counted twice is safer than not at all. */
function buffersOf(plan: Node): number {
  const writers = nodesOf(plan).filter((one) => one['Node Type'] === 'ModifyTable');
  return [plan, ...writers].reduce((sum, one) => sum + one['Shared Hit Blocks'] + one['Shared Read Blocks'], 0);
}

function nodesOf(plan: Node): readonly Node[] {
  return [plan, ...(plan.Plans ?? []).flatMap(nodesOf)];
}

function literal(value: Value): string {
  if (value === null) return 'null';
  return typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : String(value);
}
