import { sql } from 'drizzle-orm';
import { LIMITS } from '../../domain/limits.ts';
import type { AuditPage, AuditRecord } from '../../engine/ports/queues.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { instant, int, int8, text, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

type Told = Omit<AuditRecord, 'at' | 'position'>;

const writeAuditStatement = statement<'now' | keyof Told>(
  'write-audit',
  sql`with ${clock}
  insert into stint.audit (shard, namespace, at, queue, action, actor, reason, before, after)
  select ${shard}, ${param('namespace')}::text, c.now, ${param('queue')}::text, ${param('action')}::text, ${param('actor')}::text,
      ${param('reason')}::text, ${param('before')}::text, ${param('after')}::text from c`,
);

/** Backwards along the primary key; of other queues a bounded number is passed over. */
const listAuditStatement = statement<'namespace' | 'queue' | 'limit' | 'before'>(
  'list-audit',
  sql`with scanned as materialized (
      select n, queue from stint.audit
       where shard = ${shard} and namespace = ${param('namespace')}::text and n < coalesce(${param('before')}::bigint, 9223372036854775807)
       order by n desc limit case when ${param('queue')}::text is null then ${param('limit')}::int else ${LIMITS.scannedRows} end),
    page as materialized (
      select n from scanned where ${param('queue')}::text is null or queue = ${param('queue')}::text
       order by n desc limit ${param('limit')}::int)
    select a.*, t.last, t.scanned from (select min(n) as last, count(*)::int as scanned from scanned) t
      left join page p on true
      left join lateral (
        select * from stint.audit where shard = ${shard} and namespace = ${param('namespace')}::text and n = p.n offset 0) a on true
     order by p.n desc`,
);

export async function writeAudit(run: Run, now: string | null, record: Told): Promise<void> {
  await run(writeAuditStatement, { now, ...record });
}

export async function listAudit(
  run: Run,
  namespace: string,
  queue: string | null,
  limit: number,
  before: bigint | null,
): Promise<AuditPage> {
  const rows = await run(listAuditStatement, { namespace, queue, limit, before: before === null ? null : String(before) });
  const records = rows.filter((row) => row['n'] !== null).map(parseRecord);
  const [first] = rows;
  const isEnd = first === undefined || int(first, 'scanned') < (queue === null ? limit : LIMITS.scannedRows);
  if (records.length === limit) return { records, nextBefore: records.at(-1)?.position ?? null };
  return { records, nextBefore: isEnd ? null : int8(first, 'last') };
}

function parseRecord(row: Row): AuditRecord {
  return {
    position: int8(row, 'n'),
    ...{ namespace: text(row, 'namespace'), queue: text(row, 'queue'), at: instant(row, 'at'), actor: text(row, 'actor') },
    ...{ action: text(row, 'action'), reason: text(row, 'reason'), before: text(row, 'before'), after: text(row, 'after') },
  };
}
