import { sql } from 'drizzle-orm';
import type { JobId } from '../../domain/job.ts';
import type { Run } from '../database.ts';
import { bytes } from '../row.ts';
import { param, shard, statement } from '../statement.ts';

const getPayloadStatement = statement<'job'>(
  'get-payload',
  sql`select payload from stint.job where shard = ${shard} and id = ${param('job')}::uuid`,
);

export async function getPayload(run: Run, id: JobId): Promise<Uint8Array | null> {
  const [row] = await run(getPayloadStatement, { job: id });
  return row === undefined ? null : bytes(row, 'payload');
}
