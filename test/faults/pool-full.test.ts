import { setTimeout as delay } from 'node:timers/promises';
import postgres, { type Sql } from 'postgres';
import { beforeAll, describe, it } from 'vitest';
import { connect, type Stint } from '../contract/stint.ts';
import { DatabaseScene, LIMIT_MS } from './database-scene.ts';
import { EveryCall } from './every-call.ts';
import { untilOk } from './until-ok.ts';

/** What the two replicas open at most, and some for others. */
const MAX_CONNECTIONS = 50;
const TOO_MANY_CONNECTIONS = '53300';
const LOOK_MS = 20;
const QUIET_LOOKS = 10;
/** More than the hot pool of a replica has connections. */
const CROWD = 30;

describe('a full pool', { timeout: LIMIT_MS }, () => {
  let scene: DatabaseScene;
  let admin: Sql;
  let stints: readonly Stint[];
  beforeAll(async () => {
    scene = await DatabaseScene.open({ max_connections: String(MAX_CONNECTIONS) });
    admin = session();
    stints = scene.addresses.map((address) => connect(address));
    return async () => {
      stints.forEach((stint) => stint.close());
      await admin.end({ timeout: 1 });
      await scene.close();
    };
  }, LIMIT_MS);

  function session(): Sql {
    return postgres(scene.postgres.url, { max: 1, onnotice: () => undefined });
  }

  /** Strangers take every connection that there is, also those of the service, which are ended for that. */
  async function crowdOut(): Promise<Sql[]> {
    const strangers: Sql[] = [];
    // A session that ends is out of sight before its place is free.
    for (let quiet = 0; quiet < QUIET_LOOKS;) {
      const stranger = await admitted(session());
      if (stranger !== null) strangers.push(stranger);
      const ended = await admin`select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'stint %'`;
      quiet = stranger === null && ended.length === 0 ? quiet + 1 : 0;
      if (quiet > 0) await delay(LOOK_MS);
    }
    return strangers;
  }

  it('of the server: each call is told so, and none waits for a connection that does not come', async () => {
    const calls = await Promise.all(stints.map((stint) => EveryCall.prepare(stint)));
    let strangers: Sql[] = [];
    const breaks = async () => {
      strangers = await crowdOut();
      for (const each of calls) await each.expectUnavailable();
    };
    const mends = async () => void (await Promise.all(strangers.map((stranger) => stranger.end({ timeout: 1 }))));
    await scene.suffer({ name: 'a server with no connection left', breaks, mends });
    for (const each of calls) await each.expectOk();
  });

  it('of the service, whose connections all wait for locked rows: no call hangs, and it recovers', async () => {
    const calls = await Promise.all(stints.map((stint) => EveryCall.prepare(stint)));
    const queues = Array.from({ length: CROWD }, (_, index) => `crowd-${index}`);
    for (const queue of queues) await stints[0]?.enqueue({ namespace: 'crowd', job: { queue, type: 'x' } });
    const stranger = session();
    let crowd: readonly Promise<unknown>[] = [];
    const breaks = async () => {
      await stranger`begin`;
      await stranger`lock table stint.job, stint.ready, stint.lease in access exclusive mode`;
      crowd = stints.flatMap((stint) => queues.map((queue) => untilOk(() => claimFrom(stint, queue))));
      await untilAllConnectionsWait();
      for (const each of calls) await each.expectAnswered();
    };
    const mends = async () => {
      await stranger`rollback`;
      await stranger.end({ timeout: 1 });
      await Promise.all(crowd);
    };
    await scene.suffer({ name: 'locked rows', breaks, mends });
    for (const each of calls) await each.expectOk();
  });

  /** Nobody else waits for that queue, so it takes a connection of its own. */
  const claimFrom = (stint: Stint, queue: string) => stint.claim({ namespace: 'crowd', queues: [queue], workerId: 'w' });

  async function untilAllConnectionsWait(): Promise<void> {
    for (;;) {
      const [row] = await admin`
        select count(*) filter (where wait_event_type = 'Lock')::int as waiting, count(*)::int as all
          from pg_stat_activity where application_name = 'stint hot'`;
      if (row?.['waiting'] === row?.['all']) return;
      await delay(LOOK_MS);
    }
  }

  it('leaves nothing wrong behind', async () => {
    await scene.expectSound();
  });
});

/** Null where no connection was left. */
async function admitted(stranger: Sql): Promise<Sql | null> {
  try {
    await stranger`select 1`;
    return stranger;
  } catch (error) {
    await stranger.end({ timeout: 1 });
    if (error instanceof postgres.PostgresError && error.code === TOO_MANY_CONNECTIONS) return null;
    throw error;
  }
}
