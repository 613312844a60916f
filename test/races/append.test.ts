/** Facts that meet each other, and what moves their job. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventType } from '../../src/domain/event.ts';
import { isTerminal, type JobId } from '../../src/domain/job.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { Queue } from '../../src/domain/queue.ts';
import type { AppendItem, AppendOutcome } from '../../src/engine/ports/events.ts';
import type { ClaimedJob, Repository } from '../../src/engine/ports/repository.ts';
import { StoreError } from '../../src/engine/ports/store-error.ts';
import type { Run } from '../../src/repository/database.ts';
import { appendMany } from '../../src/repository/events/append.ts';
import { claim } from '../../src/repository/workers/claim.ts';
import { ackMany } from '../../src/repository/workers/ack.ts';
import { PATIENT, slot, Stage, tokenOf } from '../engine/stage.ts';
import { openTransaction } from './open-transaction.ts';

const JOBS = 40;
const FACTS = 6;

let stage: Stage;
let queue: Queue;
let here: Repository;
let there: Repository;
beforeAll(async () => {
  stage = await Stage.open();
  [here, there] = [await stage.another({ settings: PATIENT }), await stage.another({ settings: PATIENT })];
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

function fact(jobId: JobId, told: Partial<AppendItem> = {}): AppendItem {
  const { namespace } = queue;
  return { namespace, jobId, token: null, type: 'note', data: Buffer.from('d'), contentType: '', replayKey: null, ...told };
}

/** The statements of an append, in a transaction that the test ends. */
const appendWithin = (run: Run, items: readonly AppendItem[]) => appendMany({ transaction: (work) => work(run) }, now(), items);
const now = () => stage.clock.now().toISOString();

async function oneJob(): Promise<JobId> {
  const [jobId] = await stage.enqueue(queue, {});
  return jobId ?? expect.unreachable();
}

const sequencesOf = (outcomes: readonly AppendOutcome[]) =>
  outcomes.map((outcome) => (outcome.kind === 'refused' ? outcome.refusal.kind : outcome.event.sequence));

async function expectSound(): Promise<void> {
  expect(await stage.violations(queue.namespace)).toEqual([]);
}

describe('one replay key on two replicas', () => {
  it.each(['a job that waits', 'a job that is held'])('is one event of %s', async (where) => {
    const jobId = where === 'a job that waits' ? await oneJob() : (await stage.held(queue)).job.jobId;
    const item = fact(jobId, { replayKey: 'k' });
    const first = await openTransaction(stage.database.url, (run) => appendWithin(run, [item]));
    const second = there.appendMany([item, fact(jobId)]);
    await stage.waitingForLocks(1);
    await first.commit();
    const [repeated, other] = await second;
    expect(repeated).toEqual({ ...first.outcome[0], kind: 'repeated' });
    const sequence = sequencesOf(first.outcome)[0];
    expect(sequencesOf(other === undefined ? [] : [other])).toEqual([Number(sequence) + 1]);
    await expectSound();
  });

  it('is an event of the second where the first is undone', async () => {
    const { jobId } = (await stage.held(queue)).job;
    const item = fact(jobId, { replayKey: 'k' });
    const first = await openTransaction(stage.database.url, (run) => appendWithin(run, [item]));
    const second = there.appendMany([item]);
    await stage.waitingForLocks(1);
    await first.rollback();
    expect(await second).toMatchObject([{ kind: 'appended', event: { sequence: 4 } }]);
    await expectSound();
  });
});

describe('the last custom event that a job may have', () => {
  it.each(['a job that waits', 'a job that is held'])('is told once by two replicas, of %s', async (where) => {
    const jobId = where === 'a job that waits' ? await oneJob() : (await stage.held(queue)).job.jobId;
    const limit = LIMITS.customEventsPerJob;
    await stage.sql`
      insert into stint.custom_event (shard, job, seq, type, at, life, attempt, fence, state, worker, data, content_type)
      select 0, ${jobId}, n + 3, 'note', now(), 1, 0, 0, 'READY', '', 'd', '' from generate_series(1, ${limit - 1}) n`;
    await stage.sql`update stint.ready set seq = ${limit + 2} where job = ${jobId}`;
    await stage.sql`update stint.lease set seq = ${limit + 2} where job = ${jobId}`;
    const first = await openTransaction(stage.database.url, (run) => appendWithin(run, [fact(jobId)]));
    const second = there.appendMany([fact(jobId)]);
    await stage.waitingForLocks(1);
    await first.commit();
    expect(sequencesOf(first.outcome)).toEqual([limit + 3]);
    expect(await second).toMatchObject([{ kind: 'refused', refusal: { kind: 'invalid_transition', action: 'append_event', limit } }]);
  });
});

describe('a fact that meets what moves its job', () => {
  it('waits for the claim of it, and comes behind', async () => {
    const jobId = await oneJob();
    const claimed = await openTransaction(stage.database.url, (run) => claim(run, now(), [queue], [slot()]));
    const appended = there.appendMany([fact(jobId)]);
    await stage.waitingForLocks(1);
    await claimed.commit();
    expect(await appended).toMatchObject([{ kind: 'appended', event: { sequence: 4, state: 'RUNNING', workerId: 'w' } }]);
    await expectSound();
  });

  it('is passed over by a claim, which finds the job once it is told', async () => {
    const jobId = await oneJob();
    const append = await openTransaction(stage.database.url, (run) => appendWithin(run, [fact(jobId)]));
    expect(await stage.claim(queue)).toEqual([]);
    await append.commit();
    expect((await stage.claim(queue)).map(({ job }) => [job.jobId, job.lastSequence])).toEqual([[jobId, 4]]);
    await expectSound();
  });

  it('waits for the ack of it, and is refused', async () => {
    const held = await stage.held(queue);
    const { jobId } = held.job;
    const token = tokenOf(held);
    const acked = await openTransaction(stage.database.url, (run) =>
      ackMany(run, now(), [{ token, result: Buffer.alloc(0), contentType: '' }]),
    );
    const appended = there.appendMany([fact(jobId), fact(jobId, { token })]);
    await stage.waitingForLocks(1);
    await acked.commit();
    expect(sequencesOf(await appended)).toEqual(['invalid_transition', 'lease_lost']);
    await expectSound();
  });

  it('is waited for by the ack, which comes behind', async () => {
    const held = await stage.held(queue);
    const token = tokenOf(held);
    const append = await openTransaction(stage.database.url, (run) => appendWithin(run, [fact(held.job.jobId, { token })]));
    const acked = there.ackMany([{ token, result: Buffer.alloc(0), contentType: '' }]);
    await stage.waitingForLocks(1);
    await append.commit();
    expect(await acked).toMatchObject([{ kind: 'applied', job: { lastSequence: 5 } }]);
    await expectSound();
  });

  it('and a heartbeat of its holder leave both what they did', async () => {
    const held = await stage.held(queue);
    const token = tokenOf(held);
    const append = await openTransaction(stage.database.url, (run) => appendWithin(run, [fact(held.job.jobId, { token })]));
    stage.clock.advance(1_000);
    const beat = there.heartbeatMany([{ token, checkpoint: null }]);
    await stage.waitingForLocks(1);
    await append.commit();
    expect(await beat).toMatchObject([{ kind: 'renewed' }]);
    const { leaseExpiresAt, lastSequence } = await stage.job(held.job.jobId);
    expect({ leaseExpiresAt, lastSequence }).toEqual({ leaseExpiresAt: stage.now + 30_000_000, lastSequence: 4 });
    await expectSound();
  });

  it('is before the last event of its life or is refused, whatever comes at once', async () => {
    const ids = await stage.enqueue(queue, ...Array.from({ length: JOBS }, () => ({})));
    const keyed = ids.flatMap((jobId) => Array.from({ length: FACTS }, (_, index) => fact(jobId, { replayKey: `k${index % 4}` })));
    const told: AppendOutcome[][] = [];
    const tell = async (by: Repository, items: readonly AppendItem[]) => {
      for (let from = 0; from < items.length; from += 20) told.push([...(await again(() => by.appendMany(items.slice(from, from + 20))))]);
    };
    const work = async (by: Repository) => {
      for (let left = JOBS; left > 0; left -= 7) {
        const { jobs } = await by.claim([queue], [slot({ maxJobs: 7 })]);
        await Promise.all((jobs[0] ?? []).map((held) => end(by, held)));
      }
    };
    const cancel = async (by: Repository) => {
      const items = ids
        .filter((_, index) => index % 5 === 0)
        .map((jobId) => ({ namespace: queue.namespace, jobId, request: null, reason: '' }));
      await by.cancelMany(items.toReversed());
    };
    await Promise.all([tell(here, keyed), tell(there, keyed.toReversed()), work(here), work(there), cancel(there), here.expireLeases()]);
    for (const jobId of ids) {
      const history = await stage.repository.history(jobId, 0, 1_000);
      const events = history?.events ?? [];
      expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, index) => index + 1));
      const last = events.findIndex(({ state }) => isTerminal(state));
      expect(last === -1 || last === events.length - 1).toBe(true);
      const facts = events.filter((event) => eventType(event) === 'note');
      const mine = told
        .flat()
        .flatMap((outcome) => (outcome.kind === 'appended' && outcome.event.jobId === jobId ? [outcome.event.sequence] : []));
      expect(mine.toSorted((a, b) => a - b)).toEqual(facts.map(({ sequence }) => sequence));
    }
    const refusals = told.flat().flatMap((outcome) => (outcome.kind === 'refused' ? [outcome.refusal.kind] : []));
    expect(refusals.every((kind) => kind === 'invalid_transition')).toBe(true);
    await expectSound();
  });
});

/** As group commit does it: what lost a race did nothing. */
async function again<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof StoreError && error.kind === 'conflict')) throw error;
    }
  }
}

async function end(by: Repository, held: ClaimedJob): Promise<void> {
  const token = tokenOf(held);
  await again(() => by.appendMany([fact(held.job.jobId, { token, type: 'by-holder', replayKey: 'own' })]));
  await by.ackMany([{ token, result: Buffer.alloc(0), contentType: '' }]);
}
