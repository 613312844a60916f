import { describe, expect, it } from 'vitest';
import type { Job, JobState } from '../../src/domain/job.ts';
import type { QueueName } from '../../src/domain/queue.ts';
import { Aftermath } from '../../src/engine/aftermath.ts';
import { JobIdMint } from '../../src/engine/jobs/mint-job-id.ts';
import { claimedJob } from './desk.ts';

const jobIn = (state: JobState, told: Partial<Job> = {}): Job => ({ ...claimedJob('w').job, state, ...told });

function aftermath() {
  const told = {
    commits: 0,
    untold: 0,
    woken: [] as QueueName[],
    grown: [] as QueueName[],
    freed: [] as QueueName[],
    dueIn: [] as number[],
    leaseEndsIn: [] as number[],
  };
  const mint = new JobIdMint();
  const of = new Aftermath({
    log: {
      committed: () => {
        told.commits += 1;
        told.untold += 1;
      },
      committedAndTold: () => (told.commits += 1),
    },
    mint,
    wake: (queues) => told.woken.push(...queues),
    grown: (queues) => told.grown.push(...queues),
    freed: (queues) => told.freed.push(...queues),
    dueIn: (milliseconds) => told.dueIn.push(milliseconds),
    leaseEndsIn: (milliseconds) => told.leaseEndsIn.push(milliseconds),
  });
  return { of, told, mint };
}

describe('what follows a commit', () => {
  it('wakes each queue that has something to claim, once', () => {
    const { of, told } = aftermath();
    of.ofEnqueue([
      { kind: 'enqueued', job: jobIn('READY') },
      { kind: 'enqueued', job: jobIn('READY') },
      { kind: 'enqueued', job: jobIn('READY', { queue: 'p' }) },
      { kind: 'enqueued', job: jobIn('SCHEDULED', { queue: 'later', runAt: 1 }) },
    ]);
    expect(told.woken).toEqual([
      { namespace: 'n', name: 'q' },
      { namespace: 'n', name: 'p' },
    ]);
    expect(told.commits).toBe(1);
  });

  it('tells upkeep of the earliest that is deferred, by the time of the database', () => {
    const { of, told, mint } = aftermath();
    const databaseMs = Date.now() + 3_600_000;
    mint.setDatabaseTime(databaseMs * 1_000);
    const dueIn = (milliseconds: number) => ({ runAt: (databaseMs + milliseconds) * 1_000 });
    of.ofSettlement([
      { kind: 'applied', job: jobIn('RETRY_WAIT', dueIn(90_000)) },
      { kind: 'applied', job: jobIn('SCHEDULED', dueIn(60_000)) },
      { kind: 'applied', job: jobIn('SUCCEEDED', dueIn(1)) },
    ]);
    expect(told.dueIn).toHaveLength(1);
    expect(told.dueIn[0]).toBeGreaterThan(50_000);
    expect(told.dueIn[0]).toBeLessThanOrEqual(60_001);
    of.ofSettlement([{ kind: 'applied', job: jobIn('RETRY_WAIT', dueIn(-5_000)) }]);
    expect(told.dueIn[1]).toBe(0);
  });

  it('tells where a job has left its place in flight, once for each queue', () => {
    const { of, told } = aftermath();
    of.ofSettlement([
      { kind: 'applied', job: jobIn('SUCCEEDED', { queue: 'a' }) },
      { kind: 'applied', job: jobIn('RETRY_WAIT', { queue: 'a' }) },
      { kind: 'applied', job: jobIn('RUNNING', { queue: 'b' }) },
      { kind: 'applied', job: jobIn('READY', { queue: 'c' }) },
    ]);
    expect(told.freed.map(({ name }) => name)).toEqual(['a']);
  });

  it('is a look at the log where more may have moved than was told: jobs of a concurrency key, copies of what failed, and what a round did', () => {
    const { of, told } = aftermath();
    of.ofEnqueue([{ kind: 'enqueued', job: jobIn('READY') }]);
    of.ofSettlement([{ kind: 'applied', job: jobIn('SUCCEEDED') }]);
    of.ofClaim();
    expect(told).toMatchObject({ commits: 3, untold: 0 });
    of.ofSettlement([
      { kind: 'applied', job: jobIn('SUCCEEDED') },
      { kind: 'applied', job: jobIn('SUCCEEDED', { concurrencyKey: 'k' }) },
    ]);
    expect(told).toMatchObject({ commits: 4, untold: 1 });
    of.ofRound({ count: 1, more: false, nextDueAt: null, databaseTime: 0, touchesKeys: false, readyQueues: [] });
    expect(told).toMatchObject({ commits: 5, untold: 2 });
    of.ofSettlement([{ kind: 'applied', job: jobIn('FAILED') }]);
    expect(told).toMatchObject({ commits: 6, untold: 3 });
  });

  it('wakes nobody of what was given in the same commit, and tells who watches the queue', () => {
    const { of, told } = aftermath();
    of.ofHandedOver([jobIn('RUNNING', { queue: 'a' }), jobIn('RUNNING', { queue: 'a' })]);
    expect(told).toMatchObject({ woken: [], grown: [{ name: 'a' }] });
  });

  it('is nothing where nothing was changed', () => {
    const { of, told } = aftermath();
    of.ofEnqueue([{ kind: 'duplicate', job: jobIn('READY'), sameContent: true }, { kind: 'id_taken' }]);
    of.ofSettlement([{ kind: 'already_applied', job: jobIn('READY') }, { kind: 'lease_lost' }]);
    expect(told).toEqual({ commits: 0, untold: 0, woken: [], grown: [], freed: [], dueIn: [], leaseEndsIn: [] });
  });
});

describe('what follows a cancel request', () => {
  it('is an end of the lease at the deadline, by the clock of the database', () => {
    const { of, told, mint } = aftermath();
    mint.setDatabaseTime(5_000_000);
    const asked = {
      cancelRequestedAt: 5_000_000,
      cancelDeadline: 9_000_000,
      cancelReason: '',
      abandonRequestedAt: null,
      suspendReason: '',
    };
    of.ofSettlement([{ kind: 'applied', job: jobIn('RUNNING', { asked, leaseExpiresAt: 9_000_000 }) }]);
    expect(told.leaseEndsIn).toHaveLength(1);
    expect(told.leaseEndsIn[0]).toBeGreaterThan(3_000);
    expect(told.leaseEndsIn[0]).toBeLessThanOrEqual(4_000);
  });
});

describe('what follows a round of upkeep', () => {
  const round = { more: false, nextDueAt: null, databaseTime: 5_000_000, touchesKeys: false, readyQueues: [{ namespace: 'n', name: 'q' }] };

  it('wakes the queues it has filled, and tells the log', () => {
    const { of, told } = aftermath();
    of.ofRound({ ...round, count: 3 });
    expect(told).toMatchObject({ commits: 1, woken: round.readyQueues });
    of.ofRound({ ...round, count: 0, readyQueues: [], touchesKeys: false });
    expect(told).toMatchObject({ commits: 1 });
  });

  it('sets the clock of the ids', () => {
    const { of, mint } = aftermath();
    of.ofRound({ ...round, count: 0 });
    expect(mint.databaseTimeMs()).toBeLessThan(5_000 + 60_000);
  });
});

describe('what another replica has committed', () => {
  it('wakes the queues of jobs that became READY', () => {
    const { of, told } = aftermath();
    const event = { namespace: 'n', jobId: jobIn('READY').jobId, sequence: 1, occurredAt: 0, life: 1, attempt: 0, fence: 0n, workerId: '' };
    of.ofEvents([
      { ...event, queue: 'q', state: 'READY', detail: { type: 'ready' } },
      { ...event, queue: 'r', state: 'RUNNING', detail: { type: 'started' } },
      { ...event, queue: 'q', state: 'READY', detail: { type: 'released', runAt: null } },
    ]);
    expect(told.woken).toEqual([{ namespace: 'n', name: 'q' }]);
  });
});
