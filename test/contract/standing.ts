/** A job in each state that clients can bring it to, however it came there. */
import { Disposition, JobState } from '../../gen/stint/v1/job.ts';
import { FailureKind } from '../../gen/stint/v1/retry.ts';
import { StartMode } from '../../gen/stint/v1/worker_service.ts';
import type { Scene } from './scene.ts';
import { fromNow, seconds } from './stint.ts';

export const STATES = [
  'SCHEDULED',
  'READY',
  'LEASED',
  'RUNNING',
  'RETRY_WAIT',
  'SUSPENDED',
  'SUCCEEDED',
  'FAILED',
  'CANCELLED',
  'ABANDONED',
] as const;

export type StateName = (typeof STATES)[number];

export interface Standing {
  readonly state: StateName;
  readonly jobId: string;
  /** Of the try in flight; empty where there is none. */
  readonly live: string;
  /** Of tries that have ended. */
  readonly stale: {
    /** Of one that was not released. */
    readonly failed: string;
    /** Of one that was not settled otherwise. */
    readonly released: string;
  };
}

const A_LONG_TIME = seconds(3_600);

/** How a READY job comes to its state; gives the token of the try in flight. */
const INTO: Record<Exclude<StateName, 'ABANDONED'>, (scene: Scene, jobId: string) => Promise<string>> = {
  READY: async () => '',
  SCHEDULED: async ({ stint, namespace }, jobId) => {
    await stint.updateJob({ namespace, jobId, runAt: fromNow(3_600), updateMask: ['run_at'] });
    return '';
  },
  LEASED: async ({ claimOne }) => (await claimOne({ start: StartMode.EXPLICIT })).leaseToken,
  RUNNING: async ({ claimOne }) => (await claimOne()).leaseToken,
  RETRY_WAIT: async ({ stint, claimOne }) => {
    await stint.fail({ leaseToken: (await claimOne()).leaseToken, retryAfter: A_LONG_TIME });
    return '';
  },
  SUSPENDED: async ({ stint, claimOne }) => {
    await stint.suspend({ leaseToken: (await claimOne()).leaseToken, reason: 'for later' });
    return '';
  },
  SUCCEEDED: async ({ stint, claimOne }) => {
    await stint.ack({ leaseToken: (await claimOne()).leaseToken });
    return '';
  },
  FAILED: async ({ stint, claimOne }) => {
    await stint.fail({ leaseToken: (await claimOne()).leaseToken, failure: { code: 'bad', kind: FailureKind.TERMINAL } });
    return '';
  },
  CANCELLED: async ({ stint, namespace }, jobId) => {
    await stint.cancelJob({ namespace, jobId, reason: 'not wanted' });
    return '';
  },
};

/** A fresh job in that state. Two tries have ended before: one failed, one was released. */
export async function jobIn(scene: Scene, state: StateName): Promise<Standing> {
  if (state === 'ABANDONED') return await abandoned(scene);
  const { stint, enqueueAndClaim, claimOne } = scene;
  const { jobId, leaseToken: failed } = await enqueueAndClaim();
  await stint.fail({ leaseToken: failed, retryAfter: seconds(0) });
  const { leaseToken: released } = await claimOne();
  await stint.release({ leaseToken: released });
  const live = await INTO[state](scene, jobId);
  return { state, jobId, live, stale: { failed, released } };
}

/** Bound to an owner who took too long: nobody settled the one try that there was. */
async function abandoned({ enqueueAndClaim, terminal }: Scene): Promise<Standing> {
  const bound = { disposition: Disposition.OWNER_BOUND, timeouts: { startToClose: seconds(0.05) } };
  const { jobId, leaseToken } = await enqueueAndClaim(bound);
  await terminal(jobId);
  return { state: 'ABANDONED', jobId, live: '', stale: { failed: leaseToken, released: leaseToken } };
}

const NAMES = new Map<number, string>(Object.entries(JobState).map(([name, value]) => [value, name]));

/** A state of the wire as these tests name it. */
export function nameOf(state: JobState | undefined): string {
  return NAMES.get(state ?? JobState.UNSPECIFIED) ?? '';
}
