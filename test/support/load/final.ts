import { setTimeout as pause } from 'node:timers/promises';
import { callUntilAnswered } from '../../../examples/call.ts';
import { ListEventsRequest } from '../../../gen/stint/v1/event_service.ts';
import { type Job, JobState } from '../../../gen/stint/v1/job.ts';
import { ListJobsRequest } from '../../../gen/stint/v1/job_service.ts';
import { CheckInvariantsRequest } from '../../../gen/stint/v1/queue_service.ts';
import type { HistoryWriter } from '../history/history-file.ts';
import type { EventRecord, FinalViolationLine } from '../history/record.ts';
import { Pool } from './stubs.ts';
import { eventRecord, finalJob, stateName } from './wire.ts';

const PAGE = 1_000;
/** Histories asked for at a time. */
const LANES = 16;
const LOOK_MS = 200;

const terminal: ReadonlySet<JobState> = new Set([JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.ABANDONED]);
const unfinished = Object.values(JobState).filter((state) => state !== JobState.UNSPECIFIED && !terminal.has(state));

/** Resolves once every job of the namespace is terminal; past the limit it throws and tells what is not. */
export async function untilAllEnded(addresses: readonly string[], namespace: string, limitMs: number): Promise<void> {
  const pool = new Pool(addresses);
  const startedAtMs = performance.now();
  try {
    for (;;) {
      const left = await listJobs(pool, namespace, unfinished);
      if (left.length === 0) return;
      if (performance.now() - startedAtMs > limitMs) {
        const words = left.slice(0, 10).map((job) => `${job.jobId} ${stateName(job.state)} attempt ${job.attempt} of ${job.workerId}`);
        throw new Error(`after ${limitMs} ms ${left.length} jobs have not ended:\n${words.join('\n')}`);
      }
      await pause(LOOK_MS);
    }
  } finally {
    pool.close();
  }
}

/** Writes down all that the service knows of the namespace, but for the end line. Gives the last sequence of each job. */
export async function askFinally(
  addresses: readonly string[],
  namespace: string,
  writer: HistoryWriter,
): Promise<ReadonlyMap<string, number>> {
  const pool = new Pool(addresses);
  try {
    const jobs = await listJobs(pool, namespace, []);
    writer.write(...jobs.map(finalJob));
    const waiting = jobs[Symbol.iterator]();
    const lane = async () => {
      for (const { jobId } of waiting) writer.write({ op: 'final_events', jobId, events: await listEvents(pool, namespace, jobId) });
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    writer.write(...(await violations(pool, namespace)));
    return new Map(jobs.map(({ jobId, lastSequence }) => [jobId, Number(lastSequence)]));
  } finally {
    pool.close();
  }
}

/** In one of the states, or in any where none is given. */
async function listJobs(pool: Pool, namespace: string, states: JobState[]): Promise<Job[]> {
  return await allPages(async (pageToken) => {
    const { jobs } = pool.next();
    const request = ListJobsRequest.fromPartial({ namespace, states, pageSize: PAGE, pageToken });
    const page = await callUntilAnswered(jobs.listJobs.bind(jobs), request);
    return { items: page.jobs, nextPageToken: page.nextPageToken };
  });
}

async function listEvents(pool: Pool, namespace: string, jobId: string): Promise<EventRecord[]> {
  return await allPages(async (pageToken) => {
    const { events } = pool.next();
    const request = ListEventsRequest.fromPartial({ namespace, jobId, pageSize: PAGE, pageToken });
    const page = await callUntilAnswered(events.listEvents.bind(events), request);
    return { items: page.events.map(eventRecord), nextPageToken: page.nextPageToken };
  });
}

async function violations(pool: Pool, namespace: string): Promise<FinalViolationLine[]> {
  return await allPages(async (pageToken) => {
    const { queues } = pool.next();
    const request = CheckInvariantsRequest.fromPartial({ namespace, pageSize: PAGE, pageToken });
    const page = await callUntilAnswered(queues.checkInvariants.bind(queues), request);
    const items = page.violations.map(({ jobId, invariant, detail }) => ({ op: 'final_violation', jobId, invariant, detail }) as const);
    return { items, nextPageToken: page.nextPageToken };
  });
}

async function allPages<Item>(
  read: (pageToken: string) => Promise<{ readonly items: readonly Item[]; readonly nextPageToken: string }>,
): Promise<Item[]> {
  const all: Item[] = [];
  for (let pageToken = ''; ;) {
    const { items, nextPageToken } = await read(pageToken);
    all.push(...items);
    if (nextPageToken === '') return all;
    pageToken = nextPageToken;
  }
}
