import { sql, type SQL } from 'drizzle-orm';
import { formatLeaseToken, heartbeatIntervalMs } from '../domain/lease.ts';
import type { ClaimedJob } from '../engine/ports/repository.ts';
import { ONLY_SHARD } from './database.ts';
import { toldOfX, askedOrNull, formerFailureOfX, jobRecordColumns, parseJobRecord, wholeJob } from './job-record.ts';
import { bytes, bytesOrNull, failureOrNull, int, int8, instant, instantOrNull, text, type Row } from './row.ts';
import { shard } from './statement.ts';

/**
 * Columns of a lease `x` that expires at `until`, and of its job `j`, `q`, with the payload and what a predecessor left: not what this very
 * try has written since.
 */
export const claimedJobColumns = (
  until: SQL,
): SQL => sql`x.token, x.worker, ${until} as until, x.duration_ms, least(x.duration_ms, floor(extract(epoch from ${until} - x.claimed_at) * 1000)::int) as ttl_ms, x.rank as x_rank, x.attempt, x.fence, x.life, x.seq, x.started_at,
  ${jobRecordColumns}, j.payload, ${formerFailureOfX}, ${toldOfX},
  case when x.checkpointed then (
    select p.data from stint.checkpoint p where p.shard = ${shard} and p.job = x.job and p.fence < x.fence order by p.fence desc limit 1) end as checkpoint`;

export function parseClaimedJob(row: Row): ClaimedJob {
  const record = parseJobRecord(row);
  const startedAt = instantOrNull(row, 'started_at');
  const fence = int8(row, 'fence');
  const attempt = int(row, 'attempt');
  const expiresAt = instant(row, 'until');
  return {
    job: wholeJob(record, {
      state: startedAt === null ? 'LEASED' : 'RUNNING',
      priority: Number(-int8(row, 'x_rank')),
      life: int(row, 'life'),
      attempt,
      fence,
      startedAt,
      finishedAt: null,
      lastSequence: int(row, 'seq'),
      result: null,
      resultContentType: '',
      failure: failureOrNull(row, 'former_failure'),
      workerId: text(row, 'worker'),
      leaseExpiresAt: expiresAt,
      asked: askedOrNull(row),
    }),
    payload: bytes(row, 'payload'),
    lease: {
      leaseToken: formatLeaseToken({ shard: ONLY_SHARD, jobId: record.jobId, fence, secret: text(row, 'token') }),
      attempt,
      fence,
      expiresAt,
      ttlMs: int(row, 'ttl_ms'),
      heartbeatIntervalMs: heartbeatIntervalMs(int(row, 'duration_ms')),
    },
    checkpoint: bytesOrNull(row, 'checkpoint'),
  };
}
