import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SubscribeResponse } from '../../gen/stint/v1/event_service.ts';
import type { AwaitTerminalResponse } from '../../gen/stint/v1/job_service.ts';
import { Scene } from '../contract/scene.ts';
import { connect, type Follower, type Held, type Stint } from '../contract/stint.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { type Replica, startReplicas } from '../support/replicas.ts';
import { buildService } from '../support/service-process.ts';

const LIMIT_MS = 120_000;

let database: TestDatabase;
let replicas: readonly Replica[];
let stints: readonly Stint[];

beforeAll(async () => {
  buildService();
  database = await createDatabase();
  replicas = await startReplicas(database.url, 2);
  stints = replicas.map(({ address }) => connect(address));
}, LIMIT_MS);

afterAll(async () => {
  for (const stint of stints) stint.close();
  await Promise.all(replicas.map((replica) => replica.close()));
  await database.drop();
}, LIMIT_MS);

function at(index: number): Stint {
  return stints[index] ?? expect.unreachable();
}

const everything = { $case: 'everything', everything: {} } as const;

async function untilTold(follower: Follower<SubscribeResponse>, message: string): Promise<void> {
  for (;;) if ((await follower.next()).progress.some(({ progress }) => progress?.message === message)) return;
}

async function untilAwaitTold(follower: Follower<AwaitTerminalResponse>, message: string): Promise<void> {
  while ((await follower.next()).progress?.progress?.message !== message);
}

describe('progress between two processes', { timeout: LIMIT_MS }, () => {
  async function followed() {
    const scene = new Scene(at(0));
    const held = await scene.enqueueAndClaim();
    const { namespace } = scene;
    const subscribed = stints.map((stint) => stint.subscribe({ namespace, scope: everything, includeProgress: true }));
    for (const one of subscribed) await one.next();
    const awaited = stints.map((stint) => stint.awaitTerminal({ namespace, jobId: held.jobId, includeProgress: true }));
    for (const one of awaited) await one.next();
    return { scene, held, subscribed, awaited };
  }
  const beat = (stint: Stint, { leaseToken }: Held, message: string) =>
    stint.heartbeat({ workerId: 'worker-1', leases: [{ leaseToken, progress: { message } }] });

  it('told to either of them reaches who follows or awaits on both', async () => {
    const { scene, held, subscribed, awaited } = await followed();
    for (const [index, stint] of stints.entries()) {
      await beat(stint, held, `told to ${index}`);
      await Promise.all(subscribed.map((one) => untilTold(one, `told to ${index}`)));
      await Promise.all(awaited.map((one) => untilAwaitTold(one, `told to ${index}`)));
    }
    await at(1).ack({ leaseToken: held.leaseToken });
    for (const one of awaited) expect((await one.rest()).at(-1)).toMatchObject({ terminal: true });
    for (const one of subscribed) one.cancel();
    await scene.isSound();
  });

  it('is lost with the listening sessions, and with them alone: the next beat brings the newest, and no event is missed', async () => {
    const { scene, held, subscribed, awaited } = await followed();
    const end = () => database.sql`
      select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'stint listen'`;
    await end();
    const [follower] = subscribed.slice(1);
    if (follower === undefined) expect.unreachable();
    let isTold = false;
    const told = untilTold(follower, 'again').finally(() => (isTold = true));
    for (let beats = 0; !isTold; beats += 1) {
      // Some fall into the time in which nobody listens.
      if (beats === 3) await end();
      await beat(at(0), held, 'again');
      await Promise.race([told, scene.later(0.05)]);
    }
    await told;
    await at(0).ack({ leaseToken: held.leaseToken });
    for (const one of awaited) expect((await one.rest()).at(-1)).toMatchObject({ terminal: true });
    for (;;) {
      const { events } = await follower.next();
      if (events.some(({ type, jobId }) => type === 'succeeded' && jobId === held.jobId)) break;
    }
    for (const one of subscribed) one.cancel();
  });
});
