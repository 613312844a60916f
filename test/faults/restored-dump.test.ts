/** A dump restored into another cluster, which takes the place of the dumped one behind two replicas that serve on. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { AwaitTerminalRequest } from '../../gen/stint/v1/job_service.ts';
import { JobState } from '../../gen/stint/v1/job.ts';
import { SettlementOutcome } from '../../gen/stint/v1/worker_service.ts';
import { Follower, type Held, held, reasonOf, seconds, type Stint, uuidV7 } from '../contract/stint.ts';
import { administer } from '../support/administration.ts';
import { PostgresServer } from '../support/postgres-server.ts';
import { expectWholeHistory, FormerReaders, historiesOf } from './former-history.ts';
import { untilOk } from './until-ok.ts';
import { NAMESPACE, Succession } from './succession.ts';

const namespace = NAMESPACE;
const LONG = { timeout: 60_000, interval: 50 };
const WAIT_MS = 120_000;
const BRIEF_LEASE = seconds(1);
const LOST = 'FAILED_PRECONDITION/LEASE_LOST';

/** What is done before the dump is in it. */
async function workBeforeDump(on: Succession) {
  for (const name of ['kept', 'lapsing', 'acked', 'done', 'handed', 'waiting']) await on.enqueue(name);
  const [kept, lapsing, acked] = [await on.claim('kept'), await on.claim('lapsing', BRIEF_LEASE), await on.claim('acked')];
  await on.anyone().ack({ leaseToken: (await on.claim('done')).leaseToken });
  const handed = await on.claim('handed');
  await on.anyone().release({ leaseToken: handed.leaseToken });
  return { kept, lapsing, acked, handed };
}

/** What is done after it is lost. */
async function workAfterDump(on: Succession, acked: Held) {
  const leases = [await on.claim('waiting')];
  for (let round = 0; round < 3; round += 1) {
    const handed = await on.claim('handed');
    leases.push(handed);
    if (round < 2) await on.anyone().release({ leaseToken: handed.leaseToken });
  }
  await on.anyone().ack({ leaseToken: acked.leaseToken });
  await on.enqueue('gone', uuidV7());
  const gone = await on.claim('gone');
  // Both replicas remember the queue by the number that it has in the history that will be lost.
  for (const stint of on.stints) await stint.peekQueue({ namespace, queue: 'gone' });
  return { leases, gone };
}

/** Calls that wait on each replica over the swap. */
function parkCalls(stint: Stint, index: number, [kept, gone]: readonly [Held, Held]) {
  const end = ({ jobId }: Held) =>
    new Follower(
      stint.raw.jobs.awaitTerminal(AwaitTerminalRequest.fromPartial({ namespace, jobId }), { deadline: Date.now() + WAIT_MS }),
    ).rest();
  const calls = {
    claim: untilOk(() => stint.claim({ namespace, workerId: 'p', queues: [`parked-${index}`], wait: seconds(60) }, WAIT_MS)),
    awaitKept: untilOk(() => end(kept)),
    awaitGone: reasonOf(untilOk(() => end(gone))),
  };
  for (const call of Object.values(calls)) call.catch(() => undefined);
  return calls;
}

async function restoreBehindReplicas() {
  const on = await Succession.over(await PostgresServer.create());
  const before = await workBeforeDump(on);
  const readers = new FormerReaders(on.stints, { namespace, queue: 'handed', jobId: before.handed.jobId });
  await readers.keepCursors();
  const restored = await on.restoreAside();
  const lost = await workAfterDump(on, before.acked);
  await readers.keepCursors();
  const parked = on.stints.map((stint, index) => parkCalls(stint, index, [before.kept, lost.gone]));
  const [goneQueue] = await administer(on.server.url, `select id from stint.queue where namespace = '${namespace}' and name = 'gone'`);
  await on.swapTo(restored);
  const [waiting, handed] = await Promise.all([
    untilOk(() => on.claim('waiting')),
    untilOk(() => on.claim('handed')),
    on.untilServed('a restore'),
  ]);
  return { on, before, lost, again: { waiting, handed }, readers, parked, goneQueue };
}

describe('a dump restored behind replicas that serve on', () => {
  let world: Awaited<ReturnType<typeof restoreBehindReplicas>>;

  beforeAll(async () => {
    world = await restoreBehindReplicas();
  }, 120_000);
  afterAll(async () => await world.on.end());

  it('ends every open stream by a word, with nothing of the new history before it', async () => {
    await world.readers.expectEnded();
  });

  it('makes every cursor of before expire, on each replica', async () => {
    await world.readers.expectExpired();
  });

  it('keeps a lease that the dump holds, and wakes who awaits its end', async () => {
    const { on, before, parked } = world;
    const { leaseToken, jobId } = before.kept;
    const { results } = await on.anyone().heartbeat({ workerId: 'w', leases: [{ leaseToken }] });
    expect(results.map(({ result }) => result?.$case)).toEqual(['renewed']);
    await on.anyone().ack({ leaseToken });
    for (const { awaitKept } of parked) {
      expect((await awaitKept).at(-1)).toMatchObject({ terminal: true, job: { jobId, state: JobState.SUCCEEDED } });
    }
  });

  it('gives back a lease whose ack is lost', async () => {
    const { on, before } = world;
    expect((await on.job(before.acked.jobId)).state).toBe(JobState.RUNNING);
    expect(await on.anyone().ack({ leaseToken: before.acked.leaseToken })).toMatchObject({ outcome: SettlementOutcome.APPLIED });
  });

  it('ends a lease of before that has lapsed', async () => {
    const { on, before } = world;
    await vi.waitFor(async () => expect((await on.job(before.lapsing.jobId)).state).toBe(JobState.READY), LONG);
    expect((await on.claim('lapsing')).job.fence).toBeGreaterThan(before.lapsing.job.fence);
  });

  it('has lost the leases given after it, whose holders change nothing', async () => {
    const { on, lost } = world;
    const histories = await historiesOf(on.anyone(), namespace);
    for (const { leaseToken } of [...lost.leases, lost.gone]) {
      expect(await reasonOf(on.anyone().ack({ leaseToken }))).toBe(LOST);
      expect(await reasonOf(on.anyone().fail({ leaseToken, failure: { code: 'x' } }))).toBe(LOST);
      expect(await reasonOf(on.anyone().start({ leaseToken }))).toBe(LOST);
      expect(await on.anyone().release({ leaseToken })).toMatchObject({ job: undefined });
      const { results } = await on.anyone().heartbeat({ workerId: 'w', leases: [{ leaseToken }] });
      expect(results.map(({ result }) => result?.$case)).toEqual(['lost']);
    }
    expect(await historiesOf(on.anyone(), namespace)).toEqual(histories);
  });

  it('gives fences above all that were ever given, also above the lost ones', async () => {
    const { before, lost, again } = world;
    for (const { jobId, job } of [again.waiting, again.handed]) {
      const former = [before.handed, ...lost.leases].filter((lease) => lease.jobId === jobId);
      for (const lease of former) expect(job.fence).toBeGreaterThan(lease.job.fence);
    }
  });

  it('serves a claim that waited over the swap', async () => {
    const { on, parked } = world;
    for (const index of parked.keys()) await on.enqueue(`parked-${index}`);
    for (const [index, { claim }] of parked.entries()) expect(held((await claim).jobs[0]).job.queue).toBe(`parked-${index}`);
  });

  it('has nothing of a job that was enqueued after it', async () => {
    const { on, lost, parked } = world;
    const { jobId } = lost.gone;
    const { jobs } = await on.anyone().listJobs({ namespace, pageSize: 1_000 });
    expect(jobs.filter((job) => job.jobId === jobId)).toEqual([]);
    expect(await reasonOf(on.job(jobId))).toBe('NOT_FOUND/JOB_NOT_FOUND');
    expect(await reasonOf(on.anyone().listEvents({ namespace, jobId }))).toBe('NOT_FOUND/JOB_NOT_FOUND');
    expect(await reasonOf(on.anyone().getQueue({ namespace, queue: 'gone' }))).toBe('NOT_FOUND/QUEUE_NOT_FOUND');
    for (const { awaitGone } of parked) expect(await awaitGone).toBe('NOT_FOUND/JOB_NOT_FOUND');
  });

  it('knows the keys that the dump holds, and takes what was lost as new, in its own queue', async () => {
    const { on, lost, goneQueue } = world;
    const { jobId } = lost.gone;
    expect(
      await administer(on.server.url, `select namespace <> '${namespace}' as foreign from stint.queue where id = ${goneQueue?.['id']}`),
    ).toEqual([{ foreign: true }]);
    const same = { queue: 'done', type: 't', idempotencyKey: 'done' };
    expect(await on.anyone().enqueue({ namespace, job: same })).toMatchObject({ deduplicated: true });
    expect(await on.enqueue('gone', jobId)).toMatchObject({ jobId, queue: 'gone', lastSequence: 1n });
    expect((await on.claim('gone')).jobId).toBe(jobId);
  });

  it('tells a new subscriber everything, of the former history and of its own', async () => {
    for (const stint of world.on.stints) {
      const events = await expectWholeHistory(stint, namespace);
      expect(new Set(events.map(({ fence }) => fence >> 32n)).size).toBe(3);
      expect((await stint.checkInvariants({ namespace, pageSize: 1_000 })).violations).toEqual([]);
    }
  });
});
