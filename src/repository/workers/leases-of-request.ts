import { sql } from 'drizzle-orm';
import type { ClaimedJob } from '../../engine/ports/repository.ts';
import { claimedJobColumns, parseClaimedJob } from '../claimed-job.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { jobOfX } from '../job-record.ts';
import { expiryOf, live } from '../held-leases.ts';
import { param, shard, statement } from '../statement.ts';

/** Uses the partial index `lease_request`. */
const leasesOfRequestStatement = statement<'now' | 'namespace' | 'worker' | 'request'>(
  'leases-of-request',
  sql`with ${clock}
  select ${claimedJobColumns(expiryOf(sql`x`))}
    from c cross join lateral (
      select * from stint.lease l
       where l.shard = ${shard} and l.namespace = ${param('namespace')}::text and l.worker = ${param('worker')}::text
         and l.request = ${param('request')}::text and l.request is not null and ${live}) x ${jobOfX}
   order by x.rank, x.ord, x.job`,
);

export async function leasesOfRequest(
  run: Run,
  now: string | null,
  namespace: string,
  workerId: string,
  requestId: string,
): Promise<readonly ClaimedJob[]> {
  const rows = await run(leasesOfRequestStatement, { now, namespace, worker: workerId, request: requestId });
  return rows.map(parseClaimedJob);
}
