import { seconds, type Stint } from '../contract/stint.ts';
import type { Ground } from './calls.ts';

export interface StockedGround extends Ground {
  /** Puts jobs into the queue, and takes so many leases that calls may end; 1,000 at most. */
  stock(leases: number): Promise<void>;
}

/** For each lease, so that no claim of a round runs out of jobs. */
const SPARE_JOBS = 0.5;
const BATCH = 1_000;
const LEASE_SECONDS = 3_600;

/** In a namespace: two jobs that wait, and whatever else the calls of vanishing clients need. */
export async function prepareGround(stint: Stint, namespace: string, leaseSeconds = LEASE_SECONDS): Promise<StockedGround> {
  const queue = 'work';
  const still = async () => (await stint.enqueue({ namespace, job: { queue: 'still', payload: Buffer.alloc(1_000) } })).job?.jobId ?? '';
  const [waitingJobId, notedJobId] = [await still(), await still()];
  const tokens: string[] = [];
  let count = 0;
  let used = 0;
  return {
    namespace,
    queue,
    waitingJobId,
    notedJobId,
    leaseToken: () => tokens[(used += 1) % tokens.length] ?? '',
    count: () => (count += 1),
    stock: async (leases) => {
      for (let missing = Math.ceil(leases * (1 + SPARE_JOBS)); missing > 0; missing -= BATCH) {
        await stint.enqueueBatch({ namespace, jobs: Array.from({ length: Math.min(BATCH, missing) }, () => ({ queue })) });
      }
      const leaseDuration = seconds(leaseSeconds);
      const { jobs } = await stint.claim({ namespace, workerId: 'gone', queues: [queue], maxJobs: leases, leaseDuration });
      tokens.splice(0, tokens.length, ...jobs.map(({ lease }) => lease?.leaseToken ?? ''));
      used = 0;
    },
  };
}
