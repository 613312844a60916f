import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { parseLeaseToken } from '../../src/domain/lease.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { FROM_NOW, type Follower } from './follower.ts';
import { useScene } from './scene.ts';
import { enqueue } from './work.ts';

const scene = useScene();
const never = () => new AbortController().signal;

async function claimOne(engine: Engine, namespace: string, leaseDurationMs: number | null = null) {
  const asked = {
    namespace,
    workerId: 'w',
    queues: ['q'],
    maxJobs: 1,
    waitMs: 5_000,
    leaseDurationMs,
    startOnClaim: true,
    requestId: null,
  };
  const [claimed] = (await engine.workers.claim(asked, never())).jobs;
  if (claimed === undefined) throw new Error('nothing to claim');
  return claimed;
}

const messagesOf = (follower: Follower) =>
  follower.deliveries.flatMap(({ progress = [] }) => progress.map(({ progress: { message } }) => message));
const untilTold = (follower: Follower, message: string) => follower.until((one) => messagesOf(one).includes(message));

describe('progress', () => {
  it('told to one replica reaches who follows on another, and on the same one once', async () => {
    const [here, there] = [await scene.replica(), await scene.replica()];
    const namespace = scene.namespace();
    const jobId = await enqueue(here.engine, namespace);
    const { lease } = await claimOne(here.engine, namespace);
    const followers = [here, there].map(({ engine }) => scene.follow(engine, namespace, { start: FROM_NOW, includeProgress: true }));
    const ofJob = scene.follow(there.engine, namespace, { scope: { kind: 'job', jobId }, start: FROM_NOW, includeProgress: true });
    for (const follower of [...followers, ofJob]) await follower.next();
    const beat = (engine: Engine, message: string) =>
      engine.workers.heartbeat([{ token: parseLeaseToken(lease.leaseToken), checkpoint: null, progress: { fraction: null, message } }]);
    await beat(here.engine, 'first');
    for (const follower of [...followers, ofJob]) await untilTold(follower, 'first');
    await beat(there.engine, 'second');
    for (const follower of [...followers, ofJob]) {
      await untilTold(follower, 'second');
      expect(messagesOf(follower)).toEqual(['first', 'second']);
      expect(follower.events).toEqual([]);
    }
  });

  it('that is lost between replicas is made good by the next beat', { timeout: 60_000 }, async () => {
    const [here, there] = [await scene.replica(), await scene.replica()];
    const namespace = scene.namespace();
    await enqueue(here.engine, namespace);
    const { lease } = await claimOne(here.engine, namespace);
    const follower = scene.follow(there.engine, namespace, { start: FROM_NOW, includeProgress: true });
    await follower.next();
    await scene.database.sql`
      select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'stint listen'`;
    let isTold = false;
    const told = untilTold(follower, 'still here').then(() => (isTold = true));
    while (!isTold) {
      const progress = { fraction: null, message: 'still here' };
      await here.engine.workers.heartbeat([{ token: parseLeaseToken(lease.leaseToken), checkpoint: null, progress }]);
      await Promise.race([told, pause(50)]);
    }
    const jobId = await enqueue(here.engine, namespace);
    expect((await follower.untilJob(jobId)).events).toHaveLength(1);
  });

  it('is not read by a replica on which nobody follows any', async () => {
    const [here, there] = [await scene.replica(), await scene.replica()];
    const namespace = scene.namespace();
    await enqueue(here.engine, namespace);
    const { lease } = await claimOne(here.engine, namespace);
    const follower = scene.follow(here.engine, namespace, { start: FROM_NOW, includeProgress: true });
    const quiet = scene.follow(there.engine, namespace, { start: FROM_NOW });
    for (const one of [follower, quiet]) await one.next();
    let reads = 0;
    there.engine.onProgress(() => {
      reads += 1;
      return [];
    });
    expect(reads).toBe(0);
    const progress = { fraction: null, message: 'on the way' };
    await here.engine.workers.heartbeat([{ token: parseLeaseToken(lease.leaseToken), checkpoint: null, progress }]);
    await untilTold(follower, 'on the way');
    const jobId = await enqueue(here.engine, namespace);
    expect(messagesOf(await quiet.untilJob(jobId))).toEqual([]);
  });

  it('of a lease that has run out is dropped, though nobody has taken it yet', { timeout: 30_000 }, async () => {
    const here = await scene.replica();
    const namespace = scene.namespace();
    await enqueue(here.engine, namespace);
    const gone = await claimOne(here.engine, namespace, 1_000);
    await enqueue(here.engine, namespace);
    const live = await claimOne(here.engine, namespace);
    await scene.database.sql`update stint.lease set until = now() - interval '1 hour' where job = ${gone.job.jobId}`;
    const follower = scene.follow(here.engine, namespace, { start: FROM_NOW, includeProgress: true });
    await follower.next();
    const outcomes = await here.engine.workers.heartbeat(
      [gone, live].map(({ lease, job }) => ({
        token: parseLeaseToken(lease.leaseToken),
        checkpoint: null,
        progress: { fraction: null, message: job.jobId },
      })),
    );
    expect(outcomes.map(({ kind }) => kind)).toEqual(['lease_lost', 'renewed']);
    await untilTold(follower, live.job.jobId);
    expect(messagesOf(follower)).toEqual([live.job.jobId]);
  });
});
