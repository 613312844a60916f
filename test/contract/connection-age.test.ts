import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { JobState } from '../../gen/stint/v1/job.ts';
import { OperatorAction } from '../../gen/stint/v1/queue_service.ts';
import { ReconnectReason } from '../../gen/stint/v1/reconnect.ts';
import { startService, type TestService } from '../support/service.ts';
import { Trigger } from './keda-trigger.ts';
import { Scene } from './scene.ts';
import { codeOf, collect, connect, type Follower, refusal, seconds, type Stint } from './stint.ts';
import { openWork, WorkStream } from './work-stream.ts';

const isGiven = (process.env['STINT_ADDRESS'] ?? '') !== '';

/** Short enough to wait for, and long enough that streams are open by then; one that is not ends on the next connection. */
const AGE_MS = 1_000;
const GRACE_MS = 30_000;

let service: TestService;
let stint: Stint;
let scene: Scene;

beforeAll(async () => {
  service = await startService({ connectionLife: { ageMs: AGE_MS, graceMs: GRACE_MS } });
});
afterAll(() => service.stop());
beforeEach(() => {
  stint = connect(service.address);
  scene = new Scene(stint);
});
afterEach(() => stint.close());

/** Whatever was told before. */
async function endedForAge(follower: Follower<unknown>): Promise<void> {
  expect(await refusal(follower.rest())).toMatchObject({ info: { reason: 'CONNECTION_AGE' }, names: ['ErrorInfo', 'RetryInfo'] });
}

describe.skipIf(isGiven)('a connection that reaches its age (skipped with STINT_ADDRESS: its settings are not ours)', () => {
  it('ends every kind of wait at once, each with a reason to ask again', async () => {
    const { namespace, queue, enqueue, enqueueAndClaim } = scene;
    await enqueueAndClaim();
    const { jobId } = await enqueue();
    await stint.applyAction({ namespace, queue, action: OperatorAction.DRAIN_BACKLOG, reason: 'test' });
    await Promise.all([
      endedForAge(stint.awaitTerminal({ namespace, jobId })),
      endedForAge(stint.awaitJobs({ namespace, jobIds: [jobId] })),
      endedForAge(stint.awaitEvent({ namespace, jobId, type: 'seen' })),
      endedForAge(stint.waitDrained({ namespace, queue })),
      endedForAge(stint.watchQueueStats({ namespace, queue, interval: seconds(60) })),
    ]);
  });

  it('ends the stream of a scaler with OK, which KEDA takes for no failure', async () => {
    const { namespace, queue, enqueue } = scene;
    await enqueue();
    expect(await new Trigger(stint, { namespace, queue }).stream().rest()).toEqual([{ result: true }]);
  });

  it.each(['queue', 'jobId'] as const)('tells a subscriber by %s to reconnect, and no event is missed or told twice', async (kind) => {
    const { namespace, queue, enqueueAndClaim, events } = scene;
    const { jobId, leaseToken } = await enqueueAndClaim();
    const scope = kind === 'queue' ? ({ $case: 'queue', queue } as const) : ({ $case: 'jobId', jobId } as const);
    let start: Parameters<Stint['subscribe']>[0]['start'] = { $case: 'fromBeginning', fromBeginning: {} };
    const told: unknown[] = [];
    for (let streams = 0; streams < 2; streams += 1) {
      const messages = await stint.subscribe({ namespace, scope, start }).rest();
      const last = messages.at(-1);
      expect(last?.reconnect?.reason).toBe(ReconnectReason.CONNECTION_AGE);
      told.push(...messages.flatMap((message) => message.events));
      start = { $case: 'cursor', cursor: last?.cursor ?? '' };
      await stint.appendEvent({ namespace, jobId, type: 'seen' });
    }
    await stint.ack({ leaseToken });
    const { events: rest } = await collect(stint.subscribe({ namespace, scope, start }), (seen) => told.length + seen.length >= 6);
    expect([...told, ...rest]).toEqual(await events(jobId));
  });

  it('tells a worker to open its stream anew: what it holds is kept, and what it had settled is answered', async () => {
    const { job, enqueue } = scene;
    const jobIds = [await enqueue(), await enqueue()].map((one) => one.jobId);
    const { stream } = await openWork(scene, { credits: 2 });
    const [first, second] = await stream.assigned(2);
    if (first === undefined || second === undefined) expect.unreachable();
    expect(await stream.ack(first)).toMatchObject([{ result: { $case: 'ack' } }]);
    expect((await stream.next('reconnect')).reconnect.reason).toBe(ReconnectReason.CONNECTION_AGE);
    await stream.ended();
    const { stream: again } = await openWork(scene, { credits: 0 });
    expect((await again.heartbeat(second)).map(({ result }) => result?.$case)).toEqual(['renewed']);
    await again.ack(second);
    for (const jobId of jobIds) expect((await job(jobId)).state).toBe(JobState.SUCCEEDED);
  });

  it('assigns nothing more to a stream that was told to end', async () => {
    const { enqueue, claimOne } = scene;
    const { stream } = await openWork(scene, { credits: 1 });
    await stream.next('reconnect');
    const { jobId } = await enqueue();
    expect(await claimOne()).toMatchObject({ jobId, job: { attempt: 1 } });
    expect(stream.unread).not.toContain('assigned');
  });

  it('ends a stream of a worker that has not opened its session', async () => {
    const stream = new WorkStream(stint);
    expect(await codeOf(stream.ended())).toBe('UNAVAILABLE');
  });

  it('lets calls under way end: no unary call of a client that goes on fails', async () => {
    const { namespace, queue } = scene;
    const until = performance.now() + 3 * AGE_MS;
    const jobIds: (string | undefined)[] = [];
    const caller = async (): Promise<void> => {
      while (performance.now() < until) jobIds.push((await stint.enqueue({ namespace, job: { queue } })).job?.jobId);
    };
    await Promise.all(Array.from({ length: 20 }, caller));
    expect(new Set(await listed(scene))).toEqual(new Set(jobIds));
  });
});

async function listed({ namespace, stint: calls }: Scene): Promise<readonly string[]> {
  const jobIds: string[] = [];
  let pageToken = '';
  do {
    const page = await calls.listJobs({ namespace, pageSize: 1_000, pageToken });
    jobIds.push(...page.jobs.map(({ jobId }) => jobId));
    ({ nextPageToken: pageToken } = page);
  } while (pageToken !== '');
  return jobIds;
}
