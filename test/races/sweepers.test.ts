/** Time that meets the holder, and sweepers that meet each other. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { NO_TIMEOUTS } from '../../src/domain/job.ts';
import { idsOf, tokenOf } from '../engine/stage.ts';
import { acks, count, Ground, inBatches, JOBS, lastOf, SECOND_MS } from './ground.ts';

let ground: Ground;
beforeAll(async () => {
  ground = await Ground.open();
});
beforeEach(() => ground.renew());
afterAll(() => ground.close());

describe('a timeout that meets an ack', () => {
  it('gives each try to exactly one of them', async () => {
    const held = await ground.holdMany({ timeouts: { ...NO_TIMEOUTS, startToCloseMs: SECOND_MS } });
    const early = await ground.ahead(SECOND_MS - 1);
    const [swept, acked] = await Promise.all([ground.sweepTwice(SECOND_MS), inBatches(acks(held), (batch) => early.ackMany(batch))]);
    const kinds = acked.map(({ kind }) => kind);
    expect(lastOf(await ground.soundHistories(idsOf(held)))).toEqual(
      kinds.map((kind) => (kind === 'applied' ? 'succeeded' : 'retry_scheduled')),
    );
    expect(count(kinds, 'lease_lost')).toBe(swept);
  });

  it('has come at its instant, though no sweep has come by', async () => {
    const held = await ground.holdMany({ timeouts: { ...NO_TIMEOUTS, startToCloseMs: SECOND_MS } });
    const late = await ground.ahead(SECOND_MS);
    expect(new Set((await late.ackMany(acks(held))).map(({ kind }) => kind))).toEqual(new Set(['lease_lost']));
    const jobs = await ground.stage.repository.getJobs(idsOf(held));
    expect(new Set(jobs.map((job) => job?.state))).toEqual(new Set(['RUNNING']));
    expect((await late.expireLeases()).timedOut).toBe(JOBS);
  });
});

describe('two sweepers', () => {
  it('end each lease once', async () => {
    const held = await ground.holdMany();
    expect(await ground.sweepTwice(65 * SECOND_MS)).toBe(JOBS);
    const histories = await ground.soundHistories(idsOf(held));
    expect(new Set(histories.map((types) => types.join(' ')))).toEqual(new Set(['enqueued claimed started retry_scheduled']));
  });

  it('time each waiting job out once, wherever it lies, also while it becomes due', async () => {
    const timeouts = { ...NO_TIMEOUTS, scheduleToCloseMs: 10 * SECOND_MS };
    const suspended = await ground.stage.enqueue(ground.queue, ...Array.from({ length: 50 }, () => ({ timeouts })));
    const held = await ground.stage.claim(ground.queue, { maxJobs: 50 });
    await ground.here.suspendMany(held.map((one) => ({ token: tokenOf(one), checkpoint: null, reason: '' })));
    const waiting = await ground.stage.enqueue(
      ground.queue,
      ...Array.from({ length: 100 }, (_, index) => ({ timeouts, runAt: index % 2 === 0 ? ground.stage.now + 5_000_000 : null })),
    );
    const [one, other] = [await ground.ahead(10 * SECOND_MS), await ground.ahead(10 * SECOND_MS)];
    const rounds = await Promise.all([
      ...[one, other, one, other].map((sweeper) => sweeper.timeOut()),
      ...[one, other].map(async (sweeper) => ({ ...(await sweeper.promoteDue()), count: 0 })),
    ]);
    // What was on its way from one place to the other is found by the next round.
    rounds.push(await one.timeOut());
    expect(rounds.reduce((sum, round) => sum + round.count, 0)).toBe(150);
    const histories = await ground.soundHistories([...suspended, ...waiting]);
    expect(new Set(lastOf(histories))).toEqual(new Set(['failed']));
  });
});
