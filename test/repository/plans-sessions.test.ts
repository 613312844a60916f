/** What sessions cost beside very many others: whatever is done with a lease, its session is found by key, and only where its own time is over. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Queue } from '../../src/domain/queue.ts';
import type { ClaimedJob } from '../../src/engine/ports/repository.ts';
import { PLAIN_SETTINGS } from '../../src/repository/session.ts';
import { getJobs } from '../../src/repository/jobs/get-jobs.ts';
import { expireLeases, expireThese } from '../../src/repository/upkeep/expire-leases.ts';
import { DueLook } from '../../src/repository/upkeep/next-due.ts';
import { ackMany } from '../../src/repository/workers/ack.ts';
import { beatSessions } from '../../src/repository/workers/beat-sessions.ts';
import { dropLeases } from '../../src/repository/workers/drop-leases.ts';
import { heartbeatMany } from '../../src/repository/workers/heartbeat.ts';
import { leasesOfRequest } from '../../src/repository/workers/leases-of-request.ts';
import { lookAtLeases } from '../../src/repository/workers/look-at-leases.ts';
import { idsOf, Stage, tokenOf } from '../engine/stage.ts';
import { explaining, type Explained } from '../support/explain.ts';
import { listed, openSession, SESSION_MS, tie } from '../support/sessions.ts';

const FEW = 500;
const MANY = 20_000;

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
  queue = await stage.queue();
});
afterAll(() => stage.close());

const now = () => stage.clock.now().toISOString();

/** So many sessions of others, each with a lease that it alone keeps. */
async function fill(count: number): Promise<void> {
  const [until, over] = [new Date(stage.clock.now().getTime() + 86_400_000).toISOString(), new Date(0).toISOString()];
  await stage.sql`
    with s as (
      insert into stint.session (shard, id, until, duration_ms) select 0, gen_random_uuid(), ${until}, 30000 from generate_series(1, ${count}::int) returning id)
    insert into stint.lease (shard, job, token, namespace, worker, until, duration_ms, grace_ms, queue_id, rank, ord, claimed_at,
        claimed_seq, attempt, fence, life, seq, releases, size, checkpointed, session)
    select 0, gen_random_uuid(), gen_random_uuid(), 'default', 'other', ${over}, 30000, 5000, ${queue.id}, 0, 0, ${over},
           2, 1, 1, 1, 2, 0, 600, false, id from s`;
}

/** Ten jobs that their session alone keeps. */
async function kept(): Promise<{ readonly session: string; readonly held: readonly ClaimedJob[] }> {
  await stage.enqueue(queue, ...Array.from({ length: 10 }, () => ({})));
  const held = await stage.claim(queue, { maxJobs: 10, leaseDurationMs: SESSION_MS, requestId: randomUUID() });
  const session = await openSession(stage.repository);
  await tie(stage.repository, session, ...held);
  await stage.sql`update stint.lease set until = ${new Date(0).toISOString()} where session = ${session}`;
  return { session, held };
}

async function everyStatement(): Promise<ReadonlyMap<string, Explained>> {
  const { session, held } = await kept();
  const { run, plans, close } = await explaining(stage.database.url);
  const one = held.slice(0, 1);
  expect(await beatSessions(run, now(), [{ sessionId: session, opensForMs: null, items: held.map(listed) }])).toMatchObject([
    held.map(() => ({ kind: 'renewed' })),
  ]);
  await beatSessions(run, now(), [{ sessionId: randomUUID(), opensForMs: SESSION_MS, items: [] }]);
  await lookAtLeases(run, now(), held.map(listed));
  await getJobs(run, idsOf(held));
  await leasesOfRequest(run, now(), queue.namespace, 'w', 'r');
  await expireThese(run, now(), idsOf(held));
  await heartbeatMany(
    run,
    now(),
    held.slice(1, 4).map((each) => ({ ...listed(each), session })),
  );
  const acks = one.map((each) => ({ token: tokenOf(each), result: new Uint8Array(), contentType: '' }));
  expect(await ackMany(run, now(), acks)).toMatchObject([{ kind: 'applied' }]);
  expect(await ackMany(run, now(), acks)).toMatchObject([{ kind: 'already_applied' }]);
  expect(
    await dropLeases(
      run,
      now(),
      held.slice(4, 5).map((each) => ({ ...listed(each), session })),
    ),
  ).toEqual([true]);
  await close();
  return plans;
}

describe('sessions', () => {
  it(`are found by key: nothing reads more beside ${MANY} than beside ${FEW}`, async () => {
    await fill(FEW);
    await stage.sql`vacuum analyze`;
    const few = await everyStatement();
    await fill(MANY);
    const unanalyzed = await everyStatement();
    await stage.sql`vacuum analyze`;
    const many = await everyStatement();
    for (const plans of [few, unanalyzed, many]) {
      expect([...plans].filter(([, { scanned }]) => scanned.length > 0)).toEqual([]);
      for (const [name, { buffers, heaviest }] of plans) {
        const before = few.get(name)?.buffers ?? 0;
        expect(buffers, `${name}: ${before} buffers beside few, ${buffers} beside many: ${heaviest.join('; ')}`).toBeLessThanOrEqual(
          before * 2 + 100,
        );
      }
    }
  });

  it('are read once for all by what looks at every lease, and those of live workers are not locked', async () => {
    const { run, plans, close } = await explaining(stage.database.url, PLAIN_SETTINGS);
    const locked = () => stage.sql`select count(*)::int from stint.session where xmax <> 0`;
    const before = await locked();
    await new DueLook().look(run, now());
    expect(await expireLeases(run, now(), 500, () => 1)).toMatchObject({ count: 3 });
    await close();
    expect(await locked()).toEqual(before);
    for (const name of ['next-due', 'expire-leases']) expect(plans.get(name)?.buffers).toBeLessThanOrEqual(8 * MANY);
  });
});
