/** Cancellations that meet the holder, a claim, and the force of time. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ClaimedJob } from '../../src/engine/ports/repository.ts';
import { cancelling } from '../../src/repository/jobs/cancel.ts';
import { idsOf } from '../engine/stage.ts';
import { acks, count, fails, fromBehind, Ground, inBatches, lastOf, outcomeOf, SECOND_MS } from './ground.ts';

let ground: Ground;
beforeAll(async () => {
  ground = await Ground.open();
});
beforeEach(() => ground.renew());
afterAll(() => ground.close());

describe('a cancellation that is not committed yet', () => {
  it.each([
    ['failure', (held: readonly ClaimedJob[]) => ground.here.failMany(fails(held)), 'cancelled'],
    ['ack', (held: readonly ClaimedJob[]) => ground.here.ackMany(acks(held)), 'succeeded'],
  ])('is waited for by the %s, which then knows of it', async (_name, settle, end) => {
    await ground.stage.enqueue(ground.queue, {});
    const held = await ground.stage.claim(ground.queue);
    const cancellation = await ground.openly(ground.asking(idsOf(held)), cancelling);
    const settled = settle(held);
    await ground.stage.waitingForLocks(1);
    await cancellation.commit();
    expect(await settled).toMatchObject([{ kind: 'applied' }]);
    expect(await ground.soundHistories(idsOf(held))).toEqual([['enqueued', 'claimed', 'started', 'cancel_requested', end]]);
  });
});

describe('a cancellation that meets its holder', () => {
  it('never takes a success from it', async () => {
    const held = await ground.holdMany();
    const [acked, asked] = await Promise.all([
      inBatches(acks(held), (batch) => ground.here.ackMany(batch)),
      fromBehind(ground.asking(idsOf(held)), (batch) => ground.there.cancelMany(batch)),
    ]);
    expect(new Set(acked.map(({ kind }) => kind))).toEqual(new Set(['applied']));
    const histories = await ground.soundHistories(idsOf(held));
    const marked = histories.map((types) => types.includes('cancel_requested'));
    expect(lastOf(histories)).toEqual(held.map(() => 'succeeded'));
    expect(asked.map(outcomeOf)).toEqual(marked.map((isMarked) => (isMarked ? 'CANCEL_REQUESTED' : 'ALREADY_TERMINAL')));
  });

  it('ends the job whether it comes before the failure or after it', async () => {
    const held = await ground.holdMany();
    const [failed, asked] = await Promise.all([
      inBatches(fails(held), (batch) => ground.here.failMany(batch)),
      fromBehind(ground.asking(idsOf(held)), (batch) => ground.there.cancelMany(batch)),
    ]);
    const histories = await ground.soundHistories(idsOf(held));
    expect(lastOf(histories)).toEqual(held.map(() => 'cancelled'));
    const before = asked.map((one) => outcomeOf(one) === 'CANCEL_REQUESTED');
    expect(failed.map((one) => 'decision' in one && one.decision.kind)).toEqual(before.map((is) => (is ? 'cancelled' : 'retry_scheduled')));
    expect(new Set(asked.filter((_, index) => before[index] !== true).map(outcomeOf))).toEqual(
      new Set(before.every(Boolean) ? [] : ['CANCELLED']),
    );
  });

  it('finds a job that waits or one that is held, and nothing between', async () => {
    const ids = await ground.enqueueMany();
    const [taken, asked] = await Promise.all([
      ground.claimInTurns(),
      fromBehind(ground.asking(ids), (batch) => ground.there.cancelMany(batch)),
    ]);
    const outcomes = asked.map(outcomeOf);
    const claimed = idsOf(taken);
    expect(outcomes).toEqual(ids.map((id) => (claimed.includes(id) ? 'CANCEL_REQUESTED' : 'CANCELLED')));
    expect(lastOf(await ground.soundHistories(ids))).toEqual(
      outcomes.map((one) => (one === 'CANCELLED' ? 'cancelled' : 'cancel_requested')),
    );
  });

  it('and is forced: each lease ends by the ack or by the force', async () => {
    const held = await ground.holdMany();
    await ground.here.cancelMany(ground.asking(idsOf(held)));
    const early = await ground.ahead(30 * SECOND_MS - 1);
    const [forced, acked] = await Promise.all([ground.sweepTwice(30 * SECOND_MS), inBatches(acks(held), (batch) => early.ackMany(batch))]);
    const kinds = acked.map(({ kind }) => kind);
    expect(lastOf(await ground.soundHistories(idsOf(held)))).toEqual(kinds.map((kind) => (kind === 'applied' ? 'succeeded' : 'cancelled')));
    expect(count(kinds, 'lease_lost')).toBe(forced);
  });
});
