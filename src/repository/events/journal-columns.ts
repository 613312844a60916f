/** Journal rows back into events: one row holds what one statement did, in parallel arrays. */
import { sql } from 'drizzle-orm';
import { stateAfter, type JobEvent } from '../../domain/event.ts';
import { parseJobId } from '../../domain/job.ts';
import type { QueueName } from '../../domain/queue.ts';
import { parseDetails } from '../detail.ts';
import { instant, int, plainItems, textOrNull, type Row } from '../row.ts';

/** Arrays as text, split here: the driver's array parser costs more than the rest of the read. */
export const journalColumns = sql`w.n, w.epoch, w.at, w.types::text as types, w.jobs::text as jobs, w.seqs::text as seqs,
  w.queue_ids::text as queue_ids, w.lives::text as lives, w.attempts::text as attempts, w.fences::text as fences,
  to_json(w.workers)::text as workers, to_json(w.details)::text as details`;

export function queueIdsOf(row: Row): readonly number[] {
  return (plainItems(row, 'queue_ids') ?? []).map(Number);
}

export function parseJournalRow(row: Row, queueOf: (id: number) => QueueName): JobEvent[] {
  const types = plainItems(row, 'types') ?? [];
  const jobs = plainItems(row, 'jobs') ?? [];
  const queueIds = queueIdsOf(row);
  const column = (name: string) => plainItems(row, name);
  const [seqs, lives, attempts, fences] = [column('seqs'), column('lives'), column('attempts'), column('fences')];
  const workers = jsonStrings(row, 'workers');
  const details = jsonStrings(row, 'details');
  const occurredAt = instant(row, 'at');
  return types.flatMap((type, index) => {
    const jobId = parseJobId(jobs[index] ?? '');
    if (jobId === null) throw new Error(`journal row ${int(row, 'n')} has no job at ${index}`);
    const { namespace, name } = queueOf(queueIds[index] ?? 0);
    return parseDetails(Number(type), details?.[index] ?? null).map((detail, later) => ({
      namespace,
      queue: name,
      jobId,
      sequence: Number(seqs?.[index] ?? 1) + later,
      occurredAt,
      life: Number(lives?.[index] ?? 1),
      attempt: Number(attempts?.[index] ?? 0),
      fence: BigInt(fences?.[index] ?? 0),
      state: stateAfter(detail),
      workerId: workers?.[index] ?? '',
      detail,
    }));
  });
}

function jsonStrings(row: Row, column: string): readonly (string | null)[] | null {
  const json = textOrNull(row, column);
  return json === null ? null : (JSON.parse(json) as (string | null)[]);
}
