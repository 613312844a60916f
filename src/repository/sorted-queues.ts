/**
 * Queues that are claimed by type: their READY tokens carry the type, in an index that holds those alone. The others pay nothing for it
 * but the question.
 */
import { sql, type SQL } from 'drizzle-orm';
import { shard } from './statement.ts';

/** How far the tokens of a queue carry their type: none, those that came since the first claim by type, all. */
export const SORTED = { none: 0, fresh: 1, all: 2 } as const;

/** Tokens `r` in the queue `queueId` of the type `type`: by `ready_type` alone. */
export const isOfType = (queueId: SQL, type: SQL): SQL => sql`r.shard = ${shard} and r.type is not null
  and (r.queue_id::text || ' ' || r.type) = ${queueId}::text || ' ' || ${type}`;

/** `type` for a token of `ready` in the queue `queueId`; null where its queue is not claimed by type. */
export const sortedBy = (type: SQL, queueId: SQL): SQL => sql`case when (
    select sq.sorted > ${SORTED.none} from stint.queue sq where sq.shard = ${shard} and sq.id = ${queueId}) then ${type} end`;

/** The same, of a token `x` whose job was there before the statement. */
export const sortedByRecord = sortedBy(
  sql`(select sj.type from stint.job sj where sj.shard = ${shard} and sj.id = x.job)`,
  sql`x.queue_id`,
);
