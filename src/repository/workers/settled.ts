import { sql } from 'drizzle-orm';
import { EVENT_CODES } from '../../domain/event.ts';
import type { FailDecision } from '../../engine/ports/repository.ts';
import type { SettleItem } from '../../engine/ports/leases.ts';
import { plainArray } from '../array.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { live } from '../held-leases.ts';
import { bool, int, instantOrNull, text, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

/**
 * The ends that holders gave to their tries, found by (job, fence) and proved by the token; and leases that are held:
 * not started yet, or started since the first look.
 */
const settledStatement = statement<'now' | 'n' | 'jobs' | 'fences' | 'secrets' | 'settlement'>(
  'settled',
  sql`with ${clock}
  select i.n, a.place, a.attempt, a.life, a.ended_type, a.due_at, a.dead_lettered
    from unnest(${param('n')}::int[], ${param('jobs')}::uuid[], ${param('fences')}::bigint[], ${param('secrets')}::uuid[])
        as i(n, job, fence, token)
    cross join c
    cross join lateral (
      select 'ended' as place, a.attempt, a.life, a.ended_type, a.due_at, a.dead_lettered from stint.attempt a
       where a.shard = ${shard} and a.job = i.job and a.fence = i.fence and a.token = i.token
         and a.settlement = ${param('settlement')}::text
      union all
      select case when l.started_at is null then 'leased' else 'running' end, l.attempt, l.life, 0, null, false from stint.lease l
       where l.shard = ${shard} and l.job = i.job and l.fence = i.fence and l.token = i.token and ${live}) a`,
);

/** As `attempt.settlement` tells it. */
export type SettlementKind = 'ack' | 'fail' | 'release' | 'suspend';

export type Settled =
  { readonly kind: 'settled'; readonly decision: FailDecision } | { readonly kind: 'not_started' } | { readonly kind: 'running' };

/** Positional; null where the holder never gave this settlement: the lease was lost. */
export async function settled(
  run: Run,
  now: string | null,
  settlement: SettlementKind,
  items: readonly SettleItem[],
): Promise<readonly (Settled | null)[]> {
  const rows = await run(settledStatement, {
    now,
    settlement,
    n: plainArray(items.map((_, index) => index)),
    jobs: plainArray(items.map(({ token }) => token.jobId)),
    fences: plainArray(items.map(({ token }) => token.fence)),
    secrets: plainArray(items.map(({ token }) => token.secret)),
  });
  const found: (Settled | null)[] = items.map(() => null);
  for (const row of rows) {
    found[int(row, 'n')] = parseSettled(row);
  }
  return found;
}

function parseSettled(row: Row): Settled {
  const place = text(row, 'place');
  if (place === 'ended') return { kind: 'settled', decision: parseDecision(row) };
  return { kind: place === 'leased' ? 'not_started' : 'running' };
}

/** Reads `ended_type`, `due_at`, `attempt`, `life`, `dead_lettered` of an ended try. */
export function parseDecision(row: Row): FailDecision {
  if (int(row, 'ended_type') === EVENT_CODES.retry_scheduled) {
    return { kind: 'retry_scheduled', nextAttempt: int(row, 'attempt') + 1, retryAt: instantOrNull(row, 'due_at') ?? 0 };
  }
  if (int(row, 'ended_type') === EVENT_CODES.cancelled) return { kind: 'cancelled' };
  return bool(row, 'dead_lettered') ? { kind: 'dead_lettered', life: int(row, 'life') } : { kind: 'failed' };
}
