import { sql } from 'drizzle-orm';
import type { UpkeepRound } from '../../engine/ports/repository.ts';
import { plainArray } from '../array.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { endedByFailure } from '../ended-by-failure.ts';
import { deleteHeld } from '../held-leases.ts';
import { parseRound } from '../upkeep-round.ts';
import { param, shard, statement } from '../statement.ts';

/** Failure code of a try whose lease ran out. */
const LEASE_EXPIRED_CODE = 'stint.lease_expired';

/**
 * Leases past expiry and grace end their try as a retryable failure; a worker that dies spends its attempt. Reads the
 * whole of `lease`: an index on `until` would cost every heartbeat its HOT update, and in-flight rows are few.
 */
const expireLeasesStatement = statement<'now' | 'limit' | 'jitterFactors' | 'failure'>(
  'expire-leases',
  sql`with ${clock},
  m as materialized (
    select l.*, ${param('failure')}::text::jsonb as failure, ${param('failure')}::text::jsonb ->> 'code' as failure_code, true as retryable,
        null::bigint as retry_after_ms, (${param('jitterFactors')}::float8[])[(row_number() over ())::int] as jitter_factor, null::text as settlement
      from c cross join lateral (
        select * from stint.lease l
         where l.shard = ${shard} and l.until + l.grace_ms * interval '1 millisecond' <= c.now
         limit ${param('limit')}::int for update skip locked) l),
  ${deleteHeld},
  ${endedByFailure(sql`m`)}
  select c.now, (select count(*)::int from v) as count, '[]'::jsonb as ready_queues,
      (select min(l.until + l.grace_ms * interval '1 millisecond') from stint.lease l
        where l.shard = ${shard} and l.until + l.grace_ms * interval '1 millisecond' > c.now) as next_due_at
    from c`,
);

export async function expireLeases(run: Run, now: string | null, limit: number, jitterFactor: () => number): Promise<UpkeepRound> {
  // One for each: leases that lapse together must not come back together.
  const jitterFactors = plainArray(Array.from({ length: limit }, jitterFactor));
  const failure = JSON.stringify({ code: LEASE_EXPIRED_CODE, message: 'the lease expired before the attempt was settled' });
  return parseRound(await run(expireLeasesStatement, { now, limit, jitterFactors, failure }), limit);
}
