/** What a signature tells of jobs, each table read for itself by its primary key: a join of them all takes ten times as long. */
import { sql } from 'drizzle-orm';
import { attemptOutcome } from '../../domain/attempt.ts';
import { EVENT_CODES } from '../../domain/event.ts';
import type { JobId, JobState } from '../../domain/job.ts';
import type { SignedAttempt, SignedEnd, SignedJob, SignedMark } from '../../domain/signature.ts';
import { plainArray } from '../array.ts';
import type { Run } from '../database.ts';
import { jobRecordColumns, parseJobRecord } from '../job-record.ts';
import { parseState } from '../jobs/get-jobs.ts';
import { int, int8, jobId, text, textOrNull, type Row } from '../row.ts';
import { param, shard, statement } from '../statement.ts';
import { deferredState, parkedState } from '../tokens.ts';

/** Where a job stands. */
export interface Standing {
  readonly state: JobState;
  readonly life: number;
  readonly attempt: number;
  readonly rank: bigint;
}

/**
 * Bytes of a payload that are hashed: enough to tell most inputs apart, and a bound on what a queue of large ones costs. The stored
 * digest would not do: it is over the queue's name too.
 */
const HASHED_PAYLOAD_BYTES = 4_096;

const recordsStatement = statement<'jobs'>(
  'signed-records',
  sql`select ${jobRecordColumns},
      length(j.payload) || ' ' || encode(sha256(substring(j.payload from 1 for ${HASHED_PAYLOAD_BYTES})), 'hex') as payload_digest
    from stint.job j join stint.queue q on q.shard = ${shard} and q.id = j.queue_id
   where j.shard = ${shard} and j.id = any(${param('jobs')}::uuid[])`,
);

/** Those of `ready` have no index on the job: whoever reads a queue has them already. */
const tokensStatement = statement<'jobs'>(
  'signed-tokens',
  sql`select l.job, case when l.started_at is null then 'LEASED' else 'RUNNING' end as state, l.life, l.attempt, l.rank
      from stint.lease l where l.shard = ${shard} and l.job = any(${param('jobs')}::uuid[])
    union all
    select d.job, ${deferredState}, d.life, d.attempt, d.rank
      from stint.deferred d where d.shard = ${shard} and d.job = any(${param('jobs')}::uuid[])
    union all
    select k.job, ${parkedState}, k.life, k.attempt, k.rank
      from stint.parked k where k.shard = ${shard} and k.job = any(${param('jobs')}::uuid[])`,
);

const attemptsStatement = statement<'jobs'>(
  'signed-attempts',
  sql`select a.job, a.life, a.attempt, a.ended_type as type, a.settlement, a.failure ->> 'code' as code, a.reason
    from stint.attempt a where a.shard = ${shard} and a.job = any(${param('jobs')}::uuid[]) order by a.job, a.fence`,
);

const endsStatement = statement<'jobs'>(
  'signed-ends',
  sql`select t.job, t.life, t.attempt, t.type, t.failure ->> 'code' as code, t.detail::jsonb ->> 'm' as reason
    from stint.terminal t where t.shard = ${shard} and t.job = any(${param('jobs')}::uuid[]) order by t.job, t.life`,
);

/** Events that somebody gave a reason for, and those that told a priority. */
const marksStatement = statement<'jobs'>(
  'signed-marks',
  sql`select e.job, e.type, e.life, e.rank, e.detail::jsonb ->> 'm' as reason
    from stint.job_event e where e.shard = ${shard} and e.job = any(${param('jobs')}::uuid[])
      and (e.detail::jsonb ? 'm' or e.rank is not null) order by e.job, e.seq`,
);

/** Of jobs of one queue, of which `backlog` has those that are in `ready`. */
export async function signedFacts(run: Run, ids: readonly string[], backlog: ReadonlyMap<JobId, Standing>): Promise<Map<JobId, SignedJob>> {
  const jobs = plainArray(ids);
  const tokens = new Map((await run(tokensStatement, { jobs })).map((row) => [jobId(row, 'job'), parseStanding(row, parseState(row))]));
  const attempts = byJob(await run(attemptsStatement, { jobs }));
  const ends = byJob(await run(endsStatement, { jobs }));
  const marks = byJob(await run(marksStatement, { jobs }));
  const records = await run(recordsStatement, { jobs });
  return new Map(
    records.map((row) => {
      const { jobId: id, type, contentType, idempotencyKey, labels, disposition, priority } = parseJobRecord(row);
      const marked = marks.get(id) ?? [];
      const ended = ends.get(id) ?? [];
      const told = marked.findLast((mark) => mark['rank'] !== null);
      const rank = told === undefined ? BigInt(-priority) : int8(told, 'rank');
      const standing = backlog.get(id) ?? tokens.get(id) ?? parseEnded(ended.at(-1), rank);
      const signed: SignedJob = {
        type,
        contentType,
        payloadDigest: text(row, 'payload_digest'),
        idempotencyKey,
        labels,
        disposition,
        priority: Number(-standing.rank),
        state: standing.state,
        life: standing.life,
        attempt: standing.attempt,
        attempts: (attempts.get(id) ?? []).map(parseSignedAttempt),
        ends: ended.map(parseSignedEnd),
        marks: marked.filter((mark) => mark['reason'] !== null).map(parseSignedMark),
      };
      return [id, signed];
    }),
  );
}

function byJob(rows: readonly Row[]): ReadonlyMap<JobId, readonly Row[]> {
  const found = new Map<JobId, Row[]>();
  for (const row of rows) {
    const id = jobId(row, 'job');
    const group = found.get(id);
    if (group === undefined) found.set(id, [row]);
    else group.push(row);
  }
  return found;
}

export function parseStanding(row: Row, state: JobState): Standing {
  return { state, life: int(row, 'life'), attempt: int(row, 'attempt'), rank: int8(row, 'rank') };
}

const END_STATES: ReadonlyMap<number, JobState> = new Map([
  [EVENT_CODES.succeeded, 'SUCCEEDED'],
  [EVENT_CODES.failed, 'FAILED'],
  [EVENT_CODES.cancelled, 'CANCELLED'],
  [EVENT_CODES.abandoned, 'ABANDONED'],
]);

function parseEnded(row: Row | undefined, rank: bigint): Standing {
  const state = row === undefined ? undefined : END_STATES.get(int(row, 'type'));
  if (row === undefined || state === undefined) throw new Error('a job of a queue lies in no place');
  return { state, life: int(row, 'life'), attempt: int(row, 'attempt'), rank };
}

function parseSignedAttempt(row: Row): SignedAttempt {
  const failureCode = textOrNull(row, 'code') ?? '';
  const outcome = attemptOutcome({ type: int(row, 'type'), isSettled: row['settlement'] !== null, failureCode });
  return { life: int(row, 'life'), attempt: int(row, 'attempt'), outcome, failureCode, reason: textOrNull(row, 'reason') ?? '' };
}

function parseSignedEnd(row: Row): SignedEnd {
  const failureCode = textOrNull(row, 'code') ?? '';
  return { life: int(row, 'life'), type: int(row, 'type'), failureCode, reason: textOrNull(row, 'reason') ?? '' };
}

function parseSignedMark(row: Row): SignedMark {
  return { type: int(row, 'type'), life: int(row, 'life'), reason: text(row, 'reason') };
}
