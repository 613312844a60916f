import { RefusalError } from '../../domain/error.ts';
import { isTerminal, type Job, type JobId } from '../../domain/job.ts';
import { LIMITS } from '../../domain/limits.ts';
import { endingOf } from '../ending.ts';
import { firstOf, recheckMs, SIGN_OF_LIFE_MS, untilGrid } from '../wait.ts';
import type { AwaitJobs, EndedJobs } from './awaited-jobs.ts';
import { type AwaitParts, endOf, readJobs } from './await-terminal.ts';

/** Jobs that are read at once, where results are small. A result may be a mebibyte, and a stopped reader holds them all. */
const MAX_READ = 128;
const FIRST_READ = 8;

/** The life of each job whose end is awaited. */
type Lives = Map<JobId, number>;

/** Each end once, then nothing more once all are told, or one with `any`. The reads are the truth, events only hint. */
export async function* awaitJobs(parts: AwaitParts, query: AwaitJobs, signal: AbortSignal): AsyncGenerator<EndedJobs> {
  // Watched before they are read: what is committed after the read is told.
  const watch = await parts.log.watchMany(query.jobIds);
  using ended = firstOf([signal, parts.draining]);
  try {
    const lives: Lives = new Map();
    let hinted = await firstLook(parts, query, lives);
    let toldAt = -Infinity;
    let recheckAt = performance.now() + recheckMs(parts);
    while (!signal.aborted) {
      if (parts.draining.aborted) throw new RefusalError({ kind: endingOf(parts.draining) });
      for await (const jobs of endsOf(parts, query, lives, hinted)) {
        yield { jobs, remaining: lives.size };
        toldAt = performance.now();
        if (lives.size === 0 || query.mode === 'any') return;
      }
      if (performance.now() >= toldAt + SIGN_OF_LIFE_MS) {
        yield { jobs: [], remaining: lives.size };
        toldAt = performance.now();
      }
      using wait = firstOf([ended.signal], untilGrid(toldAt + SIGN_OF_LIFE_MS - performance.now()));
      hinted = await watch.ended(wait.signal);
      if (performance.now() < recheckAt) continue;
      // Every hint may have been lost.
      hinted = [...lives.keys()];
      recheckAt = performance.now() + recheckMs(parts);
    }
  } finally {
    watch.close();
  }
}

/** Sets the awaited life of each job, the one that is current; gives those that have ended already. Refuses before any is told. */
async function firstLook(parts: AwaitParts, query: AwaitJobs, lives: Lives): Promise<readonly JobId[]> {
  const ended: JobId[] = [];
  for await (const jobs of inReads(parts, query, query.jobIds)) {
    for (const { jobId, life, state } of jobs) {
      lives.set(jobId, life);
      if (isTerminal(state)) ended.push(jobId);
    }
  }
  return ended;
}

/** Those of the hinted ones whose awaited life has ended, as each was then; they are awaited no more. */
async function* endsOf(parts: AwaitParts, query: AwaitJobs, lives: Lives, hinted: readonly JobId[]): AsyncGenerator<readonly Job[]> {
  for await (const jobs of inReads(
    parts,
    query,
    hinted.filter((jobId) => lives.has(jobId)),
  )) {
    const ends: Job[] = [];
    for (const job of jobs) {
      const life = lives.get(job.jobId);
      const end = life === undefined ? null : await endOf(parts, job, life);
      if (end === null) continue;
      lives.delete(job.jobId);
      ends.push(end);
    }
    if (ends.length > 0) yield ends;
  }
}

/** In reads that each hold about a response's worth, going by what the last one held. */
async function* inReads(parts: AwaitParts, { namespace }: AwaitJobs, jobIds: readonly JobId[]): AsyncGenerator<readonly Job[]> {
  let size = FIRST_READ;
  for (let from = 0; from < jobIds.length;) {
    const jobs = await readJobs(parts, namespace, jobIds.slice(from, from + size));
    from += size;
    const bytes = jobs.reduce((sum, { result }) => sum + (result?.byteLength ?? 0), 0);
    size = bytes * 2 <= LIMITS.responseBytes ? Math.min(MAX_READ, size * 2) : Math.max(1, Math.floor(size / 2));
    yield jobs;
  }
}
