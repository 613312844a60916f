import { isDeepStrictEqual } from 'node:util';
import { ListEventsRequest, type EventServiceClient } from '../../gen/stint/v1/event_service.ts';
import type { Event } from '../../gen/stint/v1/event.ts';
import { GetJobRequest, type JobServiceClient } from '../../gen/stint/v1/job_service.ts';
import { type Job, JobState } from '../../gen/stint/v1/job.ts';
import { callUntilAnswered } from '../call.ts';
import { hashFile } from '../hash-file.ts';
import { lookAt } from './files.ts';
import { isTerminal } from './ledger.ts';
import type { EnqueuedFile } from './producer.ts';
import type { RunOutcome } from './run.ts';

/** Calls at a time. */
const lanes = 32;

export interface Verdict {
  /** What is wrong, a line each; empty is a sound run. */
  readonly faults: readonly string[];
  /** Files that changed during the run, whose result can be compared with nothing. */
  readonly changed: number;
}

export interface Evidence {
  readonly jobs: JobServiceClient;
  readonly events: EventServiceClient;
  readonly outcome: RunOutcome;
  readonly signal: AbortSignal;
}

/** Looks at every job: its result against a direct computation, its events as they were followed against its history. */
export async function verify({ jobs, events, outcome, signal }: Evidence): Promise<Verdict> {
  const faults = [...outcome.ledger.faults];
  let changed = 0;
  const faultOf = async (file: EnqueuedFile) => {
    const { job } = await callUntilAnswered(jobs.getJob.bind(jobs), GetJobRequest.fromPartial({ jobId: file.jobId }));
    const told = outcome.ledger.eventsOf(file.jobId);
    if (job === undefined) return 'the service knows no such job';
    return streamFault(job, told) ?? (await historyFault(events, told)) ?? (await resultFault(file, job));
  };
  const waiting = outcome.enqueued[Symbol.iterator]();
  const lane = async () => {
    for (const file of waiting) {
      signal.throwIfAborted();
      const fault = await faultOf(file);
      if (fault === 'changed') changed += 1;
      else if (fault !== null) faults.push(`${file.path} (job ${file.jobId}): ${fault}`);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return { faults, changed };
}

/** Sequences without a gap are the ledger's to tell; here: one terminal event, the last, and as many as the job says. */
function streamFault(job: Job, told: readonly Event[]): string | null {
  const ends = told.filter(isTerminal);
  if (ends.length !== 1) return `${ends.length} terminal events`;
  if (told.at(-1)?.type !== 'succeeded') return `ended with ${told.at(-1)?.type ?? 'nothing'}: ${job.failure?.message ?? ''}`;
  if (BigInt(told.length) !== job.lastSequence) return `${told.length} events followed, ${job.lastSequence} written`;
  return null;
}

/** The stream comes from the journal, the history from what the transitions left: they must be equal, field for field. */
async function historyFault(events: EventServiceClient, told: readonly Event[]): Promise<string | null> {
  const jobId = told[0]?.jobId ?? '';
  const request = ListEventsRequest.fromPartial({ jobId, pageSize: 1_000 });
  const { events: history } = await callUntilAnswered(events.listEvents.bind(events), request);
  return isDeepStrictEqual(history, told) ? null : 'its history differs from what was followed';
}

async function resultFault(file: EnqueuedFile, job: Job): Promise<string | null> {
  if (job.state !== JobState.SUCCEEDED) return `its state is ${job.state}`;
  const direct = await hashFile(file.path).catch(() => null);
  if (direct !== null && job.result !== undefined && direct.equals(job.result)) return null;
  const today = lookAt(file.path);
  const same = today !== null && today.bytes === file.bytes && today.modifiedMs === file.modifiedMs;
  return same ? 'its result is not the SHA-256 of the file' : 'changed';
}
