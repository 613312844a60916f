/** Workers that do not keep to the contract: each ends as it says, by a time that the test plays. */
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { JobState } from '../../gen/stint/v1/job.ts';
import { SettlementOutcome } from '../../gen/stint/v1/worker_service.ts';
import { Scene } from '../contract/scene.ts';
import { connect, type Held, reasonOf, seconds, type Stint } from '../contract/stint.ts';
import { PlayedClock } from '../support/clock.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { startService, type TestService } from '../support/service.ts';

const LOST = 'FAILED_PRECONDITION/LEASE_LOST';
const LEASE_MS = 10_000;
/** Of a queue that nobody has configured. */
const GRACE_MS = 5_000;
const BACKOFF_MS = 1_000;
/** Far beyond what a sweep a second takes: only what never happens waits for it. */
const AT_LAST = { timeout: 20_000, interval: 20 };

const clock = new PlayedClock();
let database: TestDatabase;
let replicas: readonly [TestService, TestService];
let first: Stint;
let here: Scene;
/** Another connection, to another replica. */
let there: Stint;

beforeAll(async () => {
  database = await createDatabase();
  replicas = [await startService({ clock, database }), await startService({ clock, database })];
  [first, there] = [connect(replicas[0].address), connect(replicas[1].address)];
});

beforeEach(() => {
  here = new Scene(first);
});

afterAll(async () => {
  first.close();
  there.close();
  for (const replica of replicas) await replica.stop();
  await database.drop();
});

const lease = { leaseDuration: seconds(LEASE_MS / 1_000) };
const retry = { maxAttempts: 3, initialBackoff: seconds(BACKOFF_MS / 1_000), multiplier: 1, jitter: false };

/** All that is told of a job. */
async function whole(jobId: string) {
  return { job: await here.job(jobId), events: await here.events(jobId) };
}

async function untilState(jobId: string, state: JobState): Promise<void> {
  await vi.waitFor(async () => expect((await here.job(jobId)).state).toBe(state), AT_LAST);
}

/** A lease whose time is over and whose attempt the sweep has ended. */
async function lapse(held: Held): Promise<void> {
  clock.advance(LEASE_MS + GRACE_MS);
  await vi.waitFor(async () => expect((await here.job(held.jobId)).state).not.toBe(JobState.RUNNING), AT_LAST);
}

describe('a worker that never heartbeats', () => {
  it('loses its lease at the end of the grace, not before, and spends an attempt each time, until the job is FAILED', async () => {
    const { jobId } = await here.enqueue({ retry });
    const tokens: string[] = [];
    for (let attempt = 1; attempt <= retry.maxAttempts; attempt += 1) {
      const claimed = await here.claimOne(lease);
      expect(claimed.job).toMatchObject({ jobId, attempt, state: JobState.RUNNING });
      tokens.push(claimed.leaseToken);
      clock.advance(LEASE_MS + GRACE_MS - 1);
      await here.stint.runUpkeep({});
      expect((await here.job(jobId)).state).toBe(JobState.RUNNING);
      clock.advance(1);
      // Nobody calls for the sweep: it comes by itself.
      await untilState(jobId, attempt < retry.maxAttempts ? JobState.RETRY_WAIT : JobState.FAILED);
      clock.advance(BACKOFF_MS);
    }
    const { job, events } = await whole(jobId);
    expect(job).toMatchObject({ state: JobState.FAILED, attempt: 3, failure: { code: 'stint.lease_expired' } });
    const again = ['retry_scheduled', 'ready', 'claimed', 'started'];
    expect(events.map(({ type }) => type)).toEqual(['enqueued', 'claimed', 'started', ...again, ...again, 'failed']);
    expect(await Promise.all(tokens.map((leaseToken) => reasonOf(there.ack({ leaseToken }))))).toEqual(tokens.map(() => LOST));
    expect(await whole(jobId)).toEqual({ job, events });
    await here.isSound();
  });
});

describe('a worker that comes back after its lease', () => {
  it('is told so before any sweep has come by', async () => {
    const held = await here.enqueueAndClaim({ retry }, lease);
    clock.advance(LEASE_MS + GRACE_MS);
    expect(await reasonOf(here.stint.ack({ leaseToken: held.leaseToken }))).toBe(LOST);
  });

  it('changes nothing by whatever it does, neither to the job nor to whoever holds it then', async () => {
    const stale = await here.enqueueAndClaim({ retry }, lease);
    await lapse(stale);
    clock.advance(BACKOFF_MS);
    const heir = await here.claimOne(lease);
    expect(heir.jobId).toBe(stale.jobId);
    const before = await whole(stale.jobId);
    const { leaseToken } = stale;
    expect(await reasonOf(here.stint.ack({ leaseToken, result: Buffer.from('late') }))).toBe(LOST);
    expect(await reasonOf(there.ack({ leaseToken, result: Buffer.from('late') }))).toBe(LOST);
    expect(await reasonOf(here.stint.fail({ leaseToken }))).toBe(LOST);
    expect(await reasonOf(here.stint.start({ leaseToken }))).toBe(LOST);
    expect((await here.stint.release({ leaseToken })).outcome).toBe(SettlementOutcome.NOT_HELD);
    const beat = await here.stint.heartbeat({ workerId: 'worker-1', leases: [{ leaseToken, checkpoint: Buffer.from('late') }] });
    expect(beat.results.map(({ result }) => result?.$case)).toEqual(['lost']);
    expect(await whole(stale.jobId)).toEqual(before);
    expect((await there.ack({ leaseToken: heir.leaseToken })).outcome).toBe(SettlementOutcome.APPLIED);
    await here.isSound();
  });
});

describe('a worker that acks twice', () => {
  it('is answered as the first time, on whichever replica, also once its lease would be over', async () => {
    const { jobId, leaseToken } = await here.enqueueAndClaim({}, lease);
    const first = await here.stint.ack({ leaseToken, result: Buffer.from('first') });
    expect(first.outcome).toBe(SettlementOutcome.APPLIED);
    const before = await whole(jobId);
    const again = { job: first.job, outcome: SettlementOutcome.ALREADY_APPLIED };
    expect(await there.ack({ leaseToken, result: Buffer.from('second') })).toEqual(again);
    clock.advance(LEASE_MS + GRACE_MS);
    expect(await here.stint.ack({ leaseToken, result: Buffer.from('third') })).toEqual(again);
    expect(await whole(jobId)).toEqual(before);
  });

  it('at once, over two connections, is applied once', async () => {
    const count = 40;
    const { namespace, queue, stint } = here;
    await stint.enqueueBatch({ namespace, jobs: Array.from({ length: count }, () => ({ queue })) });
    const { jobs } = await here.claim({ maxJobs: count, ...lease });
    const told = await Promise.all(
      jobs.map(async ({ lease: held, job }) => {
        const ack = async (client: Stint, name: string) => ({
          name,
          outcome: (await client.ack({ leaseToken: held?.leaseToken ?? '', result: Buffer.from(name) })).outcome,
        });
        const both = await Promise.all([ack(stint, 'here'), ack(there, 'there')]);
        const applied = both.filter(({ outcome }) => outcome === SettlementOutcome.APPLIED);
        const repeated = both.filter(({ outcome }) => outcome === SettlementOutcome.ALREADY_APPLIED);
        const ended = await here.job(job?.jobId ?? '');
        return [applied.length, repeated.length, String(ended.result) === applied[0]?.name, ended.lastSequence];
      }),
    );
    expect(told).toEqual(jobs.map(() => [1, 1, true, 4n]));
    await here.isSound();
  });
});
