import { status as Code } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Event } from '../../gen/stint/v1/event.ts';
import type { SubscribeRequest, SubscribeResponse } from '../../gen/stint/v1/event_service.ts';
import { JobState } from '../../gen/stint/v1/job.ts';
import { OperatorAction } from '../../gen/stint/v1/queue_service.ts';
import { ReconnectReason } from '../../gen/stint/v1/reconnect.ts';
import { ClaimDecision } from '../../gen/stint/v1/worker_service.ts';
import { startService, type TestService } from '../support/service.ts';
import { Scene } from './scene.ts';
import { codeOf, collect, connect, type Follower, refusal, seconds, type Stint, uuidV7 } from './stint.ts';
import { openWork, WorkStream } from './work-stream.ts';

const isGiven = (process.env['STINT_ADDRESS'] ?? '') !== '';

let staying: TestService;
beforeAll(async () => {
  staying = await startService();
});
afterAll(() => staying.stop());

/** Two replicas, of which one will go: clients of each, in one world. */
async function twoReplicas() {
  const going = await startService({ database: staying.database });
  const [leaving, there] = [connect(going.address), connect(staying.address)];
  let stopped: Promise<void> | null = null;
  const stop = () => (stopped ??= going.stop());
  onTestFinished(async () => {
    await stop();
    leaving.close();
    there.close();
  });
  return { leaving, scene: new Scene(there), stop };
}

describe.skipIf(isGiven)('a replica that shuts down (skipped with STINT_ADDRESS: that service is not ours to stop)', () => {
  it('ends a parked AwaitTerminal with a reason to await again, which another replica answers', async () => {
    const { leaving, scene, stop } = await twoReplicas();
    const { namespace, stint, enqueue, claimOne, terminal } = scene;
    const { jobId } = await enqueue();
    const follower = leaving.awaitTerminal({ namespace, jobId });
    expect(await follower.next()).toMatchObject({ terminal: false });
    const ended = refusal(follower.rest());
    await stop();
    expect(await ended).toMatchObject({ info: { reason: 'SHUTTING_DOWN' }, names: ['ErrorInfo', 'RetryInfo'] });
    const again = terminal(jobId);
    await stint.ack({ leaseToken: (await claimOne()).leaseToken });
    expect((await again).state).toBe(JobState.SUCCEEDED);
  });

  it('ends a parked AwaitEvent with a reason to await again, which another replica answers', async () => {
    const { leaving, scene, stop } = await twoReplicas();
    const { namespace, stint, enqueue } = scene;
    const { jobId } = await enqueue();
    const follower = leaving.awaitEvent({ namespace, jobId, type: 'seen' });
    expect(await follower.next()).toEqual({ event: undefined, latestSequence: 1n });
    const ended = refusal(follower.rest());
    await stop();
    expect(await ended).toMatchObject({ info: { reason: 'SHUTTING_DOWN' }, names: ['ErrorInfo', 'RetryInfo'] });
    await stint.appendEvent({ namespace, jobId, type: 'seen' });
    expect((await stint.awaitEvent({ namespace, jobId, type: 'seen' }).rest()).at(-1)?.event?.sequence).toBe(2n);
  });

  it.each<[string, (queue: string, jobId: string) => NonNullable<Parameters<typeof SubscribeRequest.fromPartial>[0]['scope']>]>([
    ['a job', (_queue, jobId) => ({ $case: 'jobId', jobId })],
    ['a queue', (queue) => ({ $case: 'queue', queue })],
    ['everything', () => ({ $case: 'everything', everything: {} })],
  ])('tells a subscriber to %s to reconnect, with a cursor from which another replica goes on', async (_what, scopeOf) => {
    const { leaving, scene, stop } = await twoReplicas();
    const { namespace, queue, stint, enqueue, claimOne, events } = scene;
    const { jobId } = await enqueue();
    const wanted = { namespace, scope: scopeOf(queue, jobId) };
    const follower = leaving.subscribe({ ...wanted, start: { $case: 'fromBeginning', fromBeginning: {} } });
    const first = await follower.next();
    const rest = follower.rest();
    await stop();
    const messages = [first, ...(await rest)];
    const before = messages.flatMap((message) => message.events);
    const last = messages.at(-1);
    expect(last?.reconnect?.reason).toBe(ReconnectReason.SHUTTING_DOWN);
    await stint.ack({ leaseToken: (await claimOne()).leaseToken });
    const resumed = stint.subscribe({ ...wanted, start: { $case: 'cursor', cursor: last?.cursor ?? '' } });
    const { events: after } = await collect(resumed, (seen) => before.length + seen.length >= 4);
    expect([...before, ...after]).toEqual(await events(jobId));
  });

  it('answers a parked claim, and takes no job with it', async () => {
    const { leaving, scene, stop } = await twoReplicas();
    const { namespace, queue, enqueue, claimOne } = scene;
    const parked = leaving.claim({ namespace, workerId: 'w', queues: [queue], wait: seconds(60) });
    // Behind the claim on the same connection: once it is answered, the claim has arrived.
    await leaving.getServerInfo({});
    await stop();
    expect(await parked).toEqual({ jobs: [], decision: ClaimDecision.EMPTY });
    const { jobId } = await enqueue();
    expect(await claimOne()).toMatchObject({ jobId, job: { attempt: 1 } });
  });

  it('tells a worker to open its stream elsewhere, and leaves it what it holds', async () => {
    const { leaving, scene, stop } = await twoReplicas();
    const { namespace, enqueue, job } = scene;
    const { stream } = await openWork(new Scene(leaving), { namespace });
    const { jobId } = await enqueue();
    const held = await stream.assignedOne();
    await stop();
    expect((await stream.next('reconnect')).reconnect.reason).toBe(ReconnectReason.SHUTTING_DOWN);
    await stream.ended();
    const again = await openWork(scene);
    expect((await again.stream.heartbeat(held)).map(({ result }) => result?.$case)).toEqual(['renewed']);
    await again.stream.ack(held);
    await again.stream.finish();
    expect((await job(jobId)).state).toBe(JobState.SUCCEEDED);
  });

  it('answers each call after its commit, or fails it with UNAVAILABLE', async () => {
    const { leaving, scene, stop } = await twoReplicas();
    const { namespace, queue, stint } = scene;
    const answered: string[] = [];
    const untilRefused = async (): Promise<string> => {
      for (;;) {
        const jobId = uuidV7();
        const call = leaving.enqueue({ namespace, job: { queue, jobId } });
        const isAnswered = await call.then(
          () => true,
          () => false,
        );
        if (!isAnswered) return await codeOf(call);
        answered.push(jobId);
      }
    };
    const callers = Array.from({ length: 20 }, untilRefused);
    // On the same connection, behind the first calls: they have arrived, and more follow.
    await leaving.getServerInfo({});
    await stop();
    expect(new Set(await Promise.all(callers))).toEqual(new Set(['UNAVAILABLE']));
    expect(answered).not.toEqual([]);
    for (const jobId of answered) expect((await stint.getJob({ namespace, jobId })).job).toMatchObject({ jobId });
  });

  it('ends all of it in order while much is going on, and cuts nothing', async () => {
    const { leaving, scene, stop } = await twoReplicas();
    const { namespace, queue, enqueue, events } = scene;
    const going = new Scene(leaving);
    const { jobId } = await scene.enqueueAndClaim();
    const draining = new Scene(scene.stint);
    await draining.enqueue();
    const { namespace: drained } = draining;
    await scene.stint.applyAction({ namespace: drained, queue, action: OperatorAction.DRAIN_BACKLOG, reason: 'test' });
    const health = watchHealth(leaving);
    const waits = [
      leaving.awaitTerminal({ namespace, jobId }),
      leaving.awaitJobs({ namespace, jobIds: [jobId] }),
      leaving.awaitEvent({ namespace, jobId, type: 'seen' }),
      leaving.waitDrained({ namespace: drained, queue }),
      leaving.watchQueueStats({ namespace, queue, interval: seconds(60) }),
    ];
    for (const wait of waits) await wait.next();
    const reasons = Promise.all(waits.map(async (wait) => (await refusal(wait.rest())).info?.reason));
    const followers = (['queue', 'everything'] as const).map(($case) =>
      leaving.subscribe({
        namespace,
        scope: $case === 'queue' ? { $case, queue } : { $case, everything: {} },
        start: { $case: 'fromBeginning', fromBeginning: {} },
      }),
    );
    const known = await events(jobId);
    // Who has not read so far goes on behind its cursor, elsewhere.
    const told = await Promise.all(followers.map((follower) => eventsOf(jobId, follower, known.length)));
    const ended = Promise.all(followers.map((follower) => follower.rest()));
    const { stream } = await openWork(going, { namespace, queues: ['other'] });
    const silent = new WorkStream(leaving);
    const refused = refusal(silent.ended());
    const parked = leaving.claim({ namespace, workerId: 'w', queues: ['empty'], wait: seconds(60) });
    const callers = Array.from({ length: 50 }, () => untilRefused(leaving, { namespace, queue: 'load' }));
    await enqueue();
    await stop();
    expect(await reasons).toEqual(waits.map(() => 'SHUTTING_DOWN'));
    for (const seen of told) expect(seen).toEqual(known);
    for (const messages of await ended) expect(messages.at(-1)?.reconnect?.reason).toBe(ReconnectReason.SHUTTING_DOWN);
    expect((await stream.next('reconnect')).reconnect.reason).toBe(ReconnectReason.SHUTTING_DOWN);
    await stream.ended();
    expect((await refused).info?.reason).toBe('SHUTTING_DOWN');
    expect((await parked).decision).toBe(ClaimDecision.EMPTY);
    expect(await health).toEqual({ statuses: [SERVING, NOT_SERVING], code: Code.OK });
    for (const answered of await Promise.all(callers)) {
      for (const id of answered) expect((await scene.job(id)).jobId).toBe(id);
    }
  });
});

/** Of the job, from the first messages, until there are so many. */
async function eventsOf(jobId: string, follower: Follower<SubscribeResponse>, count: number): Promise<readonly Event[]> {
  const seen: Event[] = [];
  while (seen.length < count) seen.push(...(await follower.next()).events.filter((event) => event.jobId === jobId));
  return seen;
}

const SERVING = 1;
const NOT_SERVING = 2;

/** `grpc.health.v1` by hand: a message is one field, the status. Resolves when the service ends the watch. */
function watchHealth({ raw }: Stint) {
  const statuses: number[] = [];
  const nothing = () => Buffer.alloc(0);
  const stream = raw.jobs.makeServerStreamRequest('/grpc.health.v1.Health/Watch', nothing, (bytes) => bytes.readUInt8(1), '');
  stream.on('data', (status: number) => statuses.push(status));
  stream.on('error', () => undefined);
  return new Promise<{ statuses: number[]; code: Code }>((resolve) => stream.on('status', ({ code }) => resolve({ statuses, code })));
}

/** Gives what was answered; throws where it is refused otherwise than because nobody is there. */
async function untilRefused(stint: Stint, { namespace, queue }: { namespace: string; queue: string }): Promise<readonly string[]> {
  const answered: string[] = [];
  for (;;) {
    const jobId = uuidV7();
    const call = stint.enqueue({ namespace, job: { queue, jobId } });
    const isAnswered = await call.then(
      () => true,
      () => false,
    );
    if (isAnswered) answered.push(jobId);
    else if ((await codeOf(call)) === 'UNAVAILABLE') return answered;
    else await call;
  }
}
