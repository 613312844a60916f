/**
 * A standby that lagged takes the place of its primary, behind two replicas under load. What the primary had committed
 * since is lost though it was answered, and the standby gives the same transaction ids to others.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Database } from '../../src/repository/database.ts';
import { createDoorbell } from '../../src/repository/doorbell.ts';
import { reasonOf } from '../contract/stint.ts';
import { administer } from '../support/administration.ts';
import { checkHistory } from '../support/history/check.ts';
import { checkAcrossLoss, withoutLostAnswers } from '../support/history/lost-answers.ts';
import { monotonicMs } from '../support/history/record.ts';
import { Load } from '../support/load/load.ts';
import { PostgresServer } from '../support/postgres-server.ts';
import { LaggingStandby } from '../support/standby.ts';
import { EveryCall } from './every-call.ts';
import { expectWholeHistory, FormerReaders } from './former-history.ts';
import { untilOk } from './until-ok.ts';
import { NAMESPACE, Succession } from './succession.ts';

const namespace = NAMESPACE;
/** Jobs of the load that are settled before what comes next. */
const AT_WORK_JOBS = 20;
const AT_WORK_WITHIN_MS = 90_000;
const LIMIT_MS = 300_000;
const LONG = { timeout: 60_000, interval: 100 };

async function failOver() {
  const primary = await PostgresServer.create();
  const standby = await LaggingStandby.behind(primary);
  const on = await Succession.over(primary);
  const load = await Load.start({
    addresses: on.replicas.map(({ address }) => address),
    producers: 1,
    workers: 2,
    alsoRefused: ['CURSOR_EXPIRED', 'JOB_NOT_FOUND'],
  });
  const calls = await Promise.all(on.stints.map((stint) => EveryCall.prepare(stint)));
  await on.enqueue('handed');
  const first = await on.claim('handed');
  await on.anyone().release({ leaseToken: first.leaseToken });
  const readers = new FormerReaders(on.stints, { namespace, queue: 'handed', jobId: first.jobId });
  await readers.keepCursors();
  const bell = await hangDoorbell(primary.url);
  await load.untilSettled(AT_WORK_JOBS, AT_WORK_WITHIN_MS);

  const fromMs = monotonicMs();
  await standby.catchUp();
  await standby.cutOff();
  const lost = await on.claim('handed');
  await on.enqueue('gone');
  await load.untilSettled(AT_WORK_JOBS, AT_WORK_WITHIN_MS);
  await readers.keepCursors();
  const lostXid = await newestXid(primary.url);

  await primary.kill();
  const whileDown = await Promise.allSettled(calls.map((every) => every.expectUnavailable()));
  await on.swapTo(standby.server);
  const whileReadOnly = await Promise.allSettled(calls.map((every) => every.expectUnavailable()));
  await untilAllListen(standby.server.url, on.replicas.length + 1);
  const untilMs = monotonicMs();
  await standby.promote();
  const [again] = await Promise.all([untilOk(() => on.claim('handed')), on.untilServed('a promotion')]);
  const ends = { whileDown, whileReadOnly };
  return { on, load, standby, bell, readers, fences: { first, lost, again }, window: { fromMs, untilMs }, lostXid, ends };
}

/** As each replica has one, heard from before the fail-over. */
async function hangDoorbell(url: string) {
  const database = new Database({ url, connections: 1, applicationName: 'test', settings: 'plain' });
  const bell = createDoorbell(url, database);
  let rings = 0;
  await bell.listen({ onRing: () => (rings += 1), onQueues: () => undefined });
  return { rings: () => rings, close: async () => void (await Promise.all([bell.close(), database.close()])) };
}

/** Each of these refuses to be listened to, and none ends when the standby is promoted. */
async function untilAllListen(url: string, count: number): Promise<void> {
  const listeners = `select count(*)::int as count from pg_stat_activity where application_name = 'stint listen'`;
  await vi.waitFor(async () => expect(await administer(url, listeners)).toEqual([{ count }]), LONG);
}

/** Of the journal's latest epoch. */
async function newestXid(url: string): Promise<bigint> {
  const [row] = await administer(url, 'select max(xid::text::bigint) as xid from stint.journal');
  return BigInt(String(row?.['xid']));
}

describe('a lagging standby that is promoted', () => {
  let world: Awaited<ReturnType<typeof failOver>>;

  beforeAll(async () => {
    world = await failOver();
  }, LIMIT_MS);
  afterAll(async () => {
    await world.load.end();
    await world.bell.close();
    await world.on.end();
    await world.standby.remove();
  });

  it.each(['whileDown', 'whileReadOnly'] as const)('is preceded by UNAVAILABLE, from every call on each replica (%s)', (phase) => {
    expect(world.ends[phase].filter(({ status }) => status === 'rejected')).toEqual([]);
  });

  it('gives transaction ids again, which a follower by those alone would take for seen', async () => {
    const [row] = await administer(
      world.on.server.url,
      'select min(xid::text::bigint) as xid from stint.journal where epoch = (select max(number) from stint.epoch)',
    );
    expect(BigInt(String(row?.['xid']))).toBeLessThanOrEqual(world.lostXid);
  });

  it('ends every open stream by a word, with nothing of the new history before it', async () => {
    await world.readers.expectEnded();
  });

  it('makes every cursor of before expire, on each replica', async () => {
    await world.readers.expectExpired();
  });

  it('gives fences above the lost ones, and loses their leases', async () => {
    const { on, fences } = world;
    expect(fences.lost.job.fence).toBeGreaterThan(fences.first.job.fence);
    expect(fences.again.job.fence).toBeGreaterThan(fences.lost.job.fence);
    const { leaseToken } = fences.lost;
    expect(await reasonOf(on.anyone().ack({ leaseToken }))).toBe('FAILED_PRECONDITION/LEASE_LOST');
    await on.anyone().ack({ leaseToken: fences.again.leaseToken });
  });

  it('tells a new subscriber everything', async () => {
    for (const stint of world.on.stints) await expectWholeHistory(stint, namespace);
  });

  it('takes what was lost as new', async () => {
    const before = await world.on.anyone().listJobs({ namespace, queue: 'gone' });
    expect(before.jobs).toEqual([]);
    expect(await world.on.enqueue('gone')).toMatchObject({ lastSequence: 1n });
  });

  it('lets replicas hear one another again, though a standby refuses to be listened to', { timeout: LIMIT_MS }, async () => {
    const { on, bell } = world;
    const before = bell.rings();
    await vi.waitFor(async () => {
      await administer(on.server.url, `select pg_notify('stint_bell', 'somebody')`);
      expect(bell.rings()).toBeGreaterThan(before);
    }, LONG);
  });

  it('leaves the load nothing to complain of but the answers that it lost', { timeout: LIMIT_MS }, async () => {
    await world.load.untilSettled(AT_WORK_JOBS, AT_WORK_WITHIN_MS);
    const history = await world.load.drain();
    expect(checkHistory(withoutLostAnswers(history, world.window))).toEqual([]);
    expect(checkAcrossLoss(history)).toEqual([]);
    expect(checkHistory(history).map(({ kind }) => kind)).toContain('lost');
  });
});
