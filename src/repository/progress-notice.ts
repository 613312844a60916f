/** Progress as replicas tell it each other: notifications of Postgres, of many jobs each. */
import { sql } from 'drizzle-orm';
import { parseJobId } from '../domain/job.ts';
import type { JobProgress } from '../domain/progress.ts';
import { textArray } from './array.ts';
import type { Run } from './database.ts';
import { param, statement } from './statement.ts';

export const PROGRESS_CHANNEL = 'stint_progress';

/** Postgres takes less than 8,000 bytes. */
const NOTICE_BYTES = 7_900;

const noticeStatement = statement<'notices'>(
  'tell-progress',
  sql`select pg_notify('stint_progress', t.notice) from unnest(${param('notices')}::text[]) as t(notice)`,
);

/** In one transaction. */
export async function notifyProgress(run: Run, replica: string, told: readonly JobProgress[]): Promise<void> {
  await run(noticeStatement, { notices: textArray(formatNotices(replica, told)) });
}

/** As few as hold them all: `replica`, then a line of JSON for each. */
export function formatNotices(replica: string, told: readonly JobProgress[]): string[] {
  const notices: string[] = [];
  let open = replica;
  for (const progress of told) {
    const line = formatLine(progress);
    if (open !== replica && open.length + 1 + line.length > NOTICE_BYTES) {
      notices.push(open);
      open = replica;
    }
    open += `\n${line}`;
  }
  return open === replica ? notices : [...notices, open];
}

/** Of another replica; nothing where it is one's own or unreadable. */
export function parseNotice(notice: string, ownReplica: string): JobProgress[] {
  if (notice.startsWith(ownReplica)) return [];
  const [, ...lines] = notice.split('\n');
  return lines.flatMap((line) => parseLine(line) ?? []);
}

/** ASCII, so that its length is its size. In base64 a text is a third larger, whatever stands in it; as JSON it may be six times as large. */
function formatLine({ namespace, queue, jobId, fence, attempt, workerId, progress, reportedAt }: JobProgress): string {
  const texts = [workerId, progress.message].map(base64Of);
  return JSON.stringify([namespace, queue, jobId, String(fence), attempt, reportedAt, progress.fraction, ...texts]);
}

/** Null for a line of another version. */
function parseLine(line: string): JobProgress | null {
  let fields: unknown;
  try {
    fields = JSON.parse(line);
  } catch {
    return null;
  }
  if (!Array.isArray(fields)) return null;
  const [namespace, queue, job, fence, attempt, reportedAt, fraction, worker, message] = fields as readonly unknown[];
  const jobId = typeof job === 'string' ? parseJobId(job) : null;
  const areTexts = typeof namespace === 'string' && typeof queue === 'string' && typeof worker === 'string' && typeof message === 'string';
  const areNumbers = typeof attempt === 'number' && typeof reportedAt === 'number' && (typeof fraction === 'number' || fraction === null);
  if (jobId === null || !areTexts || !areNumbers || typeof fence !== 'string' || !/^\d{1,19}$/.test(fence)) return null;
  return {
    ...{ namespace, queue, jobId, fence: BigInt(fence), attempt, reportedAt, workerId: textOf(worker) },
    progress: { fraction, message: textOf(message) },
  };
}

function base64Of(text: string): string {
  return Buffer.from(text).toString('base64');
}

function textOf(base64: string): string {
  return Buffer.from(base64, 'base64').toString();
}
