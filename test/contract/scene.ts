import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, inject } from 'vitest';
import type { Event } from '../../gen/stint/v1/event.ts';
import type { Job, JobSpec } from '../../gen/stint/v1/job.ts';
import type { ClaimRequest } from '../../gen/stint/v1/worker_service.ts';
import { startService } from '../support/service.ts';
import { reasonToLeaveOut } from './claim-only.ts';
import { overWork } from './over-work.ts';
import { connect, fromNow, held, type Held, seconds, type Stint } from './stint.ts';

const ALL_ANSWER_LIMIT_MS = 20_000;

type Spec = Parameters<typeof JobSpec.fromPartial>[0];
type ClaimPartial = Parameters<typeof ClaimRequest.fromPartial>[0];

/** A world of its own for a test: a namespace and a queue that nobody else uses, with a client of the service. */
export class Scene {
  readonly namespace = `test-${randomUUID()}`;
  readonly queue = 'work';
  readonly stint: Stint;

  constructor(stint: Stint) {
    this.stint = stint;
  }

  readonly enqueue = async (spec: Spec = {}): Promise<Job> => {
    const { job } = await this.stint.enqueue({ namespace: this.namespace, job: { queue: this.queue, type: 'test', ...spec } });
    return job ?? expect.unreachable();
  };

  readonly claim = (request: ClaimPartial = {}) => {
    const { namespace, queue } = this;
    return this.stint.claim({ namespace, workerId: 'worker-1', queues: [queue], ...request });
  };

  /** Claims one job, waiting for it if need be. */
  readonly claimOne = async (request: ClaimPartial = {}): Promise<Held> => {
    const { jobs } = await this.claim({ wait: seconds(10), ...request });
    return held(jobs[0]);
  };

  readonly enqueueAndClaim = async (spec?: Spec, request?: ClaimPartial): Promise<Held> => {
    await this.enqueue(spec);
    return await this.claimOne(request);
  };

  readonly job = async (jobId: string): Promise<Job> => {
    const { job } = await this.stint.getJob({ namespace: this.namespace, jobId });
    return job ?? expect.unreachable();
  };

  readonly events = async (jobId: string): Promise<Event[]> => {
    const { events } = await this.stint.listEvents({ namespace: this.namespace, jobId, pageSize: 1_000 });
    return events;
  };

  readonly eventTypes = async (jobId: string): Promise<string[]> => (await this.events(jobId)).map(({ type }) => type);

  /** All that a reader sees of a job: what a refused call leaves as it is. */
  readonly picture = async (jobId: string) => ({ job: await this.job(jobId), events: await this.events(jobId) });

  /** Until so many seconds have passed on the database's clock: a job of another queue is due then. */
  readonly later = async (delaySeconds: number): Promise<void> => {
    const queue = `clock-${randomUUID()}`;
    await this.enqueue({ queue, runAt: fromNow(delaySeconds) });
    const { leaseToken } = await this.claimOne({ queues: [queue] });
    await this.stint.ack({ leaseToken });
  };

  /** The job as it was when its life ended. */
  readonly terminal = async (jobId: string): Promise<Job> => {
    const messages = await this.stint.awaitTerminal({ namespace: this.namespace, jobId }).rest();
    return messages.at(-1)?.job ?? expect.unreachable();
  };

  /** Looks at every page: one may be empty and not the last. */
  readonly isSound = async (pageSize = 1_000): Promise<void> => {
    let pageToken = '';
    do {
      const page = await this.stint.checkInvariants({ namespace: this.namespace, pageSize, pageToken });
      expect(page.violations).toEqual([]);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    const { queues } = await this.stint.listQueues({ namespace: this.namespace, pageSize: 1_000 });
    for (const { name } of queues) await this.#replays(name);
  };

  /** What the events of its jobs come to is what is stored of them. */
  async #replays(queue: string): Promise<void> {
    let pageToken = '';
    do {
      const scope = { $case: 'queue', queue } as const;
      const page = await this.stint.verifyReplay({ namespace: this.namespace, scope, pageSize: 1_000, pageToken });
      expect(page.differences).toEqual([]);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
  }
}

/**
 * The service under test for the calling file: what the set-up found or started (see STINT_ADDRESS and STINT_REPLICAS there),
 * else one that is started for it; its workers talk over `Work` where STINT_WORK says so. Returns what makes a scene.
 */
export function useService(): () => Scene {
  let stint: Stint | undefined;
  let stop = async (): Promise<void> => undefined;

  beforeAll(async () => {
    const given = inject('stintAddress');
    const service = given === '' ? await startService() : { address: given, stop };
    ({ stop } = service);
    const calls = connect(service.address);
    stint = inject('stintOverWork') ? overWork(calls) : calls;
    await untilEachAnswers(stint, service.address.split(','));
  });

  beforeEach(({ task, skip }) => {
    const reason = inject('stintOverWork') ? reasonToLeaveOut({ name: task.name, path: task.file.filepath }) : null;
    if (reason !== null) skip(reason);
  });

  afterAll(async () => {
    stint?.close();
    await stop();
  });

  return () => new Scene(stint ?? expect.unreachable());
}

/** A replica to which the client has no connection yet would be passed over. */
async function untilEachAnswers({ raw }: Stint, addresses: readonly string[]): Promise<void> {
  const answered = new Set<string>();
  const deadline = performance.now() + ALL_ANSWER_LIMIT_MS;
  while (answered.size < addresses.length) {
    if (performance.now() > deadline) throw new Error(`of ${addresses.join(', ')} only ${[...answered].join(', ')} answered`);
    await new Promise<void>((resolve, reject) => {
      const call = raw.jobs.getServerInfo({}, (error) => (error === null ? resolve() : reject(error)));
      call.on('metadata', () => answered.add(call.getPeer()));
    });
  }
}
