import { sql } from 'drizzle-orm';
import type { Attempt } from '../../domain/attempt.ts';
import type { DeadLetter } from '../../domain/dead-letter.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { DeadLetterFilter, DeadLetterPage } from '../../engine/ports/dead-letters.ts';
import { plainArray } from '../array.ts';
import { endedAttemptColumns, parseAttempt } from '../attempt-row.ts';
import type { Run } from '../database.ts';
import { jobOfX, jobRecordColumns, parseJobRecord } from '../job-record.ts';
import { bool, bytes, int, int8, instant, instantOrNull, parseFailure, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { deadLetterPlaces, type Place } from './dead-letter-places.ts';

/** The records by key, with what they tell of their jobs. Of a payload no more is read than is kept. */
const deadLettersStatement = statement<'n' | 'jobs' | 'lives'>(
  'dead-letters',
  sql`select x.n, d.n as position, d.life, d.at, d.replayed_at, t.failure, substring(j.payload from 1 for d.payload_bytes) as payload,
      length(j.payload) > d.payload_bytes as truncated, ${jobRecordColumns}
    from unnest(${param('n')}::int[], ${param('jobs')}::uuid[], ${param('lives')}::int[]) as x(n, job, life)
    cross join lateral (select * from stint.dead_letter where shard = ${shard} and job = x.job and life = x.life offset 0) d
    cross join lateral (select failure from stint.terminal where shard = ${shard} and job = x.job and life = x.life offset 0) t
    ${jobOfX}
   order by x.n`,
);

/** The last tries of each life, as long as what their failures say stays within bounds. The ends of two lives bound the fences of the later one. */
const lastAttemptsStatement = statement<'n' | 'jobs' | 'lives'>(
  'last-attempts',
  sql`select x.n, a.*
    from unnest(${param('n')}::int[], ${param('jobs')}::uuid[], ${param('lives')}::int[]) as x(n, job, life)
    cross join lateral (select fence from stint.terminal where shard = ${shard} and job = x.job and life = x.life offset 0) t
    cross join lateral (select coalesce((
      select fence from stint.terminal where shard = ${shard} and job = x.job and life = x.life - 1), -1) as fence) f
    cross join lateral (
      select b.* from (
        select ${endedAttemptColumns}, sum(coalesce(octet_length(a.failure::text), 0)) over (order by a.fence desc) as told from (
          select * from stint.attempt
           where shard = ${shard} and job = x.job and fence <= t.fence and fence > f.fence and life = x.life
           order by fence desc limit ${LIMITS.deadLetterAttempts}) a) b
       where b.told <= ${LIMITS.deadLetterAttemptsBytes}) a
   order by x.n, a.fence`,
);

/** Records read together: at first, and at most. */
const FIRST_READ = 4;
const LARGEST_READ = 200;

/** Of each record, besides its payload and what failures say. */
const FIXED_BYTES = 1_024;

/**
 * The page is full at so many items, or when they are more than a response holds: read on is only as far as records like those before
 * would still fit.
 */
export async function listDeadLetters(run: Run, filter: DeadLetterFilter, pageSize: number, after: bigint | null): Promise<DeadLetterPage> {
  const { places, nextAfter } = await deadLetterPlaces(run, filter, { after, until: null, limit: pageSize });
  const deadLetters: DeadLetter[] = [];
  const left = [...places];
  for (let count = FIRST_READ, told = 0; left.length > 0; count = readsLeft(told, places.length - left.length)) {
    const read = await readDeadLetters(run, left.splice(0, count));
    deadLetters.push(...read);
    told += read.reduce((sum, one) => sum + bytesOf(one), 0);
    if (told > LIMITS.responseBytes) return { deadLetters, nextAfter: deadLetters.at(-1)?.position ?? null };
  }
  return { deadLetters, nextAfter };
}

/** `count` records were so many bytes together. */
function readsLeft(toldBytes: number, count: number): number {
  const fitting = Math.floor((LIMITS.responseBytes - toldBytes) / Math.max(FIXED_BYTES, toldBytes / count));
  return Math.min(LARGEST_READ, Math.max(1, fitting));
}

function bytesOf({ payload, attempts }: DeadLetter): number {
  const said = attempts.reduce((sum, { failure }) => sum + (failure === null ? 0 : failure.message.length + failure.details.byteLength), 0);
  return FIXED_BYTES + payload.byteLength + said;
}

/** A record whose job is gone is left out. */
async function readDeadLetters(run: Run, places: readonly Place[]): Promise<readonly DeadLetter[]> {
  const values = {
    n: plainArray(places.map((_, index) => index)),
    jobs: plainArray(places.map((place) => place.jobId)),
    lives: plainArray(places.map(({ life }) => life)),
  };
  const rows = await run(deadLettersStatement, values);
  const attempts: Attempt[][] = places.map(() => []);
  for (const row of await run(lastAttemptsStatement, values)) attempts[int(row, 'n')]?.push(parseAttempt(row));
  return rows.map((row) => parseDeadLetter(row, attempts[int(row, 'n')] ?? []));
}

function parseDeadLetter(row: Row, attempts: readonly Attempt[]): DeadLetter {
  const { jobId, namespace, queue, type, contentType, labels, headers } = parseJobRecord(row);
  return {
    ...{ jobId, namespace, queue, type, contentType, labels, headers, attempts },
    life: int(row, 'life'),
    position: int8(row, 'position'),
    failure: parseFailure(row['failure']),
    payload: bytes(row, 'payload'),
    isPayloadTruncated: bool(row, 'truncated'),
    deadLetteredAt: instant(row, 'at'),
    replayedAt: instantOrNull(row, 'replayed_at'),
  };
}
