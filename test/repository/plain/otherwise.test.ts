/** The lesser statements of the hot path do nothing for jobs and queues that are not for them: the whole ones serve those. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Queue } from '../../../src/domain/queue.ts';
import { InVain } from '../../../src/repository/in-vain.ts';
import { enqueueMany } from '../../../src/repository/jobs/enqueue-many.ts';
import { KnownRecords } from '../../../src/repository/known-records.ts';
import { ackMany } from '../../../src/repository/workers/ack.ts';
import { claimPlain } from '../../../src/repository/workers/claim-plain.ts';
import { claimer } from '../../../src/repository/workers/claimer.ts';
import { slot, tokenOf } from '../../engine/stage.ts';
import { put } from '../../support/bounds.ts';
import { openTransaction } from '../../races/open-transaction.ts';
import { ackOf, now, openRoutes, ran, route, run, stage } from './route.ts';

openRoutes();

describe('an enqueue goes by the whole statement', () => {
  const later = () => ({ runAt: stage.now + 60_000_000 });
  it.each([
    ['a job with an idempotency key', () => ({ idempotency: { key: 'k', scope: 'RETAINED' as const, ttlMs: null } })],
    ['a job with a concurrency key', () => ({ concurrencyKey: 'k' })],
    ['a job with a fairness key', () => ({ fairnessKey: 'k' })],
    ['a job for later', later],
    ['a job whose id the caller minted', () => ({ jobId: stage.mint.mint() })],
    ['a job that nobody claims', () => ({ disposition: 'EXTERNALLY_OWNED' as const })],
  ])('for %s, and what comes with it', async (_, told) => {
    const queue = await stage.queue();
    const outcomes = await route(true).enqueue([stage.item(queue), stage.item(queue, told())]);
    expect(outcomes.map(({ kind }) => kind)).toEqual(['enqueued', 'enqueued']);
    expect(ran).toEqual(['enqueue']);
  });

  it('where the queue has a bound: none too many is let in', async () => {
    const queue = await stage.queue();
    await put(stage.repository, queue, { maxQueued: 1 });
    const outcomes = await route(true).enqueue([stage.item(queue), stage.item(queue)]);
    expect(outcomes.map(({ kind }) => kind)).toEqual(['enqueued', 'refused']);
    expect(ran.slice(0, 2)).toEqual(['enqueue-plain', 'enqueue']);
  });

  it('where fairness keys are in use: a job without one takes its turn among them', async () => {
    const queue = await stage.queue();
    await stage.enqueue(queue, ...Array.from({ length: 9 }, () => ({ fairnessKey: 'a' })));
    await route(true).enqueue([stage.item(queue, { labels: { without: 'key' } })]);
    expect(ran).toEqual(['enqueue-plain', 'enqueue']);
    const claimed = await stage.claim(queue, { maxJobs: 3 });
    expect(claimed.map(({ job }) => job.labels['without'])).toContain('key');
  });

  it('where a former try committed and its answer was lost: once more it is the same job', async () => {
    const queue = await stage.queue();
    const [known, fresh] = [stage.item(queue), stage.item(queue)];
    const [first] = await route(true).enqueue([known]);
    ran.splice(0);
    const outcomes = await route(true).enqueue([known, fresh]);
    expect(ran.slice(0, 2)).toEqual(['enqueue-plain', 'enqueue']);
    expect(outcomes).toMatchObject([first, { kind: 'enqueued', job: { jobId: fresh.jobId } }]);
    expect(await stage.claim(queue, { maxJobs: 9 })).toHaveLength(2);
  });

  it('in arrival order, whatever the order of the ids: those are locked in theirs', async () => {
    const queue = await stage.queue();
    const [one, other] = [stage.item(queue), stage.item(queue)];
    await route(true).enqueue([other, one]);
    expect(ran).toEqual(['enqueue']);
    expect((await stage.claim(queue, { maxJobs: 2 })).map(({ job }) => job.jobId)).toEqual([other.jobId, one.jobId]);
  });
});

describe('a claim goes by the whole statement', () => {
  /** Ready before one that is as plain as can be; the fields tell of what is given. */
  it.each([
    [
      'a job that was tried before',
      async (queue: Queue) => {
        const held = await stage.held(queue);
        const failure = { code: 'x', message: 'why', details: Buffer.alloc(0), kind: 'RETRYABLE' as const };
        await stage.repository.failMany([{ token: tokenOf(held), failure, retryAfterMs: 0, jitterFactor: 0.5 }]);
        await stage.repository.promoteDue();
      },
      { attempt: 2, failure: { code: 'x' } },
    ],
    [
      'a job that was given back',
      async (queue: Queue) => {
        const held = await stage.held(queue);
        await stage.repository.releaseMany([{ token: tokenOf(held), delayMs: 0 }]);
      },
      { attempt: 1, lastSequence: 6 },
    ],
    [
      'a job with a key',
      async (queue: Queue) => {
        await stage.enqueue(queue, { concurrencyKey: 'k' });
      },
      { concurrencyKey: 'k' },
    ],
    [
      'a job that was changed',
      async (queue: Queue) => {
        const [jobId = expect.unreachable()] = await stage.enqueue(queue, {});
        const item = { namespace: queue.namespace, jobId, request: null, change: { priority: 5 } };
        await stage.repository.updateMany([item]);
      },
      { priority: 5 },
    ],
  ])('where %s is at the head', async (_, lay, told) => {
    const queue = await stage.queue();
    await lay(queue);
    await stage.enqueue(queue, {});
    const { claim: take } = route(true);
    const given = await take(queue, slot({ maxJobs: 2 }));
    expect(given).toMatchObject([{ job: told }, { job: { attempt: 1, lastSequence: 3 } }]);
    expect(ran).toEqual(['claim-plain', 'claim']);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('where the answer would be too large: what fits is given, and the rest stays free', async () => {
    const queue = await stage.queue();
    const payload = Buffer.alloc(1_000_000);
    await stage.enqueue(queue, { payload }, { payload }, { payload }, { payload }, { payload });
    const { claim: take } = route(true);
    const given = await take(queue, slot({ maxJobs: 5 }));
    expect(ran).toEqual(['claim-plain', 'claim']);
    expect(given.length).toBeGreaterThan(0);
    expect(given.length).toBeLessThan(5);
    expect([...given, ...(await stage.claim(queue, { maxJobs: 5 }))]).toHaveLength(5);
  });

  it('before it has locked any: a claim beside it finds them all', async () => {
    const queue = await stage.queue();
    const payload = Buffer.alloc(1_000_000);
    await stage.enqueue(queue, { payload }, { payload }, { payload }, { payload }, { payload });
    const claim = { queue, slots: [slot({ maxJobs: 5 })], slotOf: [1, 1, 1, 1, 1], channel: 'pull' as const, records: new KnownRecords() };
    const transaction = await openTransaction(stage.database.url, async (within) => {
      expect(await claimPlain(within, now(), claim)).toBeNull();
    });
    expect(await stage.sql`select from stint.ready where queue_id = ${queue.id} for update skip locked`).toHaveLength(5);
    await transaction.commit();
  });

  it.each([
    [
      'is paused',
      (queue: Queue) =>
        stage.repository.applyAction({
          namespace: queue.namespace,
          queue: queue.name,
          action: 'PAUSE',
          reason: 'r',
          actor: 'a',
          request: null,
        }),
      'STATUS',
    ],
    [
      'lies in a paused namespace',
      (queue: Queue) =>
        stage.repository.applyAction({ namespace: queue.namespace, queue: null, action: 'PAUSE', reason: 'r', actor: 'a', request: null }),
      'STATUS',
    ],
    ['is served by streams alone', (queue: Queue) => put(stage.repository, queue, { mode: 'PUSH_ONLY' }), 'MODE'],
    [
      'gives none beyond its bound',
      async (queue: Queue) => {
        await put(stage.repository, queue, { maxInFlight: 1 });
        await stage.held(queue);
      },
      'MAX_IN_FLIGHT',
    ],
  ])('where the queue %s, which tells that', async (_, limit, limiter) => {
    const queue = await stage.queue();
    await limit(queue);
    await stage.enqueue(queue, {});
    const given = await claimer(run, now, new KnownRecords())([queue], [slot()]);
    expect(given).toMatchObject({ jobs: [[]], limits: [{ limiter }] });
    expect(ran).toEqual(['claim-plain', 'claim']);
  });

  it('where a floor tells what lies dead below it', async () => {
    const queue = await stage.queue();
    await stage.enqueue(queue, {});
    await stage.sql`insert into stint.floor (shard, queue_id, rank, ord, mark, mark_xid) values (0, ${queue.id}, 0, 1, 1, '1')`;
    expect(await route(true).claim(queue, slot())).toHaveLength(1);
    expect(ran).toEqual(['claim-plain', 'claim']);
  });

  it('for several queues, and for types', async () => {
    const [one, other] = [await stage.queue({ namespace: 'both', name: 'a' }), await stage.queue({ namespace: 'both', name: 'b' })];
    const take = claimer(run, now, new KnownRecords());
    await take([one, other], [slot()]);
    await take([one], [slot()], ['t']);
    expect(ran).toEqual(['claim-many-queues', 'claim-types']);
  });

  it('of an empty queue by the lesser statement alone', async () => {
    expect(await claimer(run, now, new KnownRecords())([await stage.queue()], [slot(), slot()])).toEqual({
      jobs: [[], []],
      limits: [],
      oneSlot: false,
    });
    expect(ran).toEqual(['claim-plain']);
  });

  it('and takes none that another has locked', async () => {
    const queue = await stage.queue();
    const [, second] = await stage.enqueue(queue, {}, {});
    const stranger = await stage.stranger(
      (sql) => sql`select from stint.ready where queue_id = ${queue.id} order by ord limit 1 for update`,
    );
    expect((await route(true).claim(queue, slot({ maxJobs: 2 }))).map(({ job }) => job.jobId)).toEqual([second]);
    expect(ran).toEqual(['claim-plain']);
    await stranger.rollback();
  });
});

describe('an ack goes by the whole statement', () => {
  it.each([
    ['a job with a key', (queue: Queue) => stage.held(queue, { job: { concurrencyKey: 'k' } })],
    [
      'a job whose cancellation was asked for',
      async (queue: Queue) => {
        const held = await stage.held(queue);
        await stage.repository.cancelMany([{ namespace: queue.namespace, jobId: held.job.jobId, request: null, reason: 'no more' }]);
        return held;
      },
    ],
    [
      'a job of a queue with a bound',
      async (queue: Queue) => {
        await put(stage.repository, queue, { maxInFlight: 5 });
        return stage.held(queue);
      },
    ],
    [
      'a job that was given back before',
      async (queue: Queue) => {
        await stage.repository.releaseMany([{ token: tokenOf(await stage.held(queue)), delayMs: 0 }]);
        const [held = expect.unreachable()] = await stage.claim(queue);
        return held;
      },
    ],
  ])('for %s, and what comes with it', async (_, hold) => {
    const queue = await stage.queue();
    const special = await hold(queue);
    const plain = await stage.held(await stage.queue());
    const outcomes = await route(true).ack(ackOf(special), ackOf(plain));
    expect(outcomes).toMatchObject([
      { kind: 'applied', job: { jobId: special.job.jobId, state: 'SUCCEEDED' } },
      { kind: 'applied', job: { jobId: plain.job.jobId, state: 'SUCCEEDED' } },
    ]);
    expect(ran).toEqual(['ack-plain', 'ack']);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('does nothing for a lease that is over, and tells again what it did', async () => {
    const queue = await stage.queue();
    const [held, late] = [await stage.held(queue), await stage.held(queue, { claim: { leaseDurationMs: 1_000 } })];
    const { ack } = route(true);
    expect(await ack(ackOf(held))).toMatchObject([{ kind: 'applied' }]);
    stage.clock.advance(7_000);
    expect(await ack(ackOf(held), ackOf(late))).toMatchObject([{ kind: 'already_applied' }, { kind: 'lease_lost' }]);
  });
});

describe('what was tried in vain', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
  afterEach(() => void vi.useRealTimers());

  it('is not tried again for a second', async () => {
    const queue = await stage.queue();
    await put(stage.repository, queue, { maxInFlight: 9, maxQueued: 9 });
    const bounded = new InVain<number>();
    const plain = { records: new KnownRecords(), inVain: new InVain<'ack'>() };
    const take = claimer(run, now, plain.records);
    const turn = async () => {
      ran.splice(0);
      await enqueueMany(run, now(), [stage.item(queue)], { bounded });
      const { jobs } = await take([queue], [slot()]);
      await ackMany(run, now(), jobs.flat().map(ackOf), plain);
      return [...ran];
    };
    expect(await turn()).toEqual(['enqueue-plain', 'enqueue', 'claim-plain', 'claim', 'ack-plain', 'ack']);
    expect(await turn()).toEqual(['enqueue', 'claim', 'ack']);
    vi.advanceTimersByTime(1_000);
    expect(await turn()).toEqual(['enqueue-plain', 'enqueue', 'claim-plain', 'claim', 'ack-plain', 'ack']);
  });
});
