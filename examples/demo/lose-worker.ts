import { type JobServiceClient, ListJobsRequest } from '../../gen/stint/v1/job_service.ts';
import { JobState } from '../../gen/stint/v1/job.ts';
import { callUntilAnswered } from '../call.ts';
import type { Workers } from './workers.ts';

/** How often every worker is looked at: between two claims each of them may hold nothing. */
const rounds = 20;

export interface Loss {
  readonly workerId: string;
  /** What it held when it died. */
  readonly leases: number;
}

/** Kills a worker that holds leases, as a machine that loses power would; null if none holds any, for all is done. */
export async function loseWorker(workers: Workers, jobs: JobServiceClient, queue: string): Promise<Loss | null> {
  for (let round = 0; round < rounds; round += 1) {
    for (const workerId of workers.names) {
      // It is frozen first, or it would have settled before anybody has looked.
      workers.freeze(workerId);
      const leases = await leasesOf(workerId, jobs, queue);
      if (leases > 0) {
        await workers.kill(workerId);
        return { workerId, leases };
      }
      workers.thaw(workerId);
    }
  }
  return null;
}

async function leasesOf(workerId: string, jobs: JobServiceClient, queue: string): Promise<number> {
  let held = 0;
  let pageToken = '';
  do {
    const request = ListJobsRequest.fromPartial({ queue, states: [JobState.RUNNING], pageSize: 1_000, pageToken });
    const page = await callUntilAnswered(jobs.listJobs.bind(jobs), request);
    held += page.jobs.filter((job) => job.workerId === workerId).length;
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  return held;
}
