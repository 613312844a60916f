/** Two who want the same rows, the one from the left and the other from the right; what decides is held open by the test. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Queue } from '../../src/domain/queue.ts';
import type { Repository } from '../../src/engine/ports/repository.ts';
import type { Run } from '../../src/repository/database.ts';
import { enqueueMany } from '../../src/repository/jobs/enqueue-many.ts';
import { ackMany } from '../../src/repository/workers/ack.ts';
import { PATIENT, Stage, tokenOf } from '../engine/stage.ts';
import { openTransaction } from './open-transaction.ts';

let stage: Stage;
let queue: Queue;
let patient: Repository;
beforeAll(async () => {
  stage = await Stage.open();
  patient = await stage.another({ settings: PATIENT });
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

interface Pair<Outcome> {
  /** One of the two, in a transaction that stays open. */
  readonly takeOne: (run: Run, which: 0 | 1) => Promise<readonly Outcome[]>;
  /** Both in one batch of another replica, the second first. */
  readonly takeBoth: () => Promise<readonly Outcome[]>;
}

/**
 * One transaction takes the first, the other asks for both and waits, then the transaction asks for the second: whoever
 * waits for the first must not hold the second already. What each of the three calls came to.
 */
async function meet<Outcome>({ takeOne, takeBoth }: Pair<Outcome>) {
  const open = await openTransaction(stage.database.url, async (run) => {
    const first = await takeOne(run, 0);
    const both = Promise.allSettled([takeBoth()]);
    await stage.waitingForLocks(1);
    const [second] = await Promise.allSettled([takeOne(run, 1)]);
    return { first, second, both };
  });
  const { first, second, both } = open.outcome;
  await (second.status === 'fulfilled' ? open.commit() : open.rollback());
  return [{ status: 'fulfilled', value: first }, second, ...(await both)];
}

const done = (...kinds: readonly string[]) => ({ status: 'fulfilled', value: kinds.map((kind) => ({ kind })) });

describe('two who meet in opposite orders', () => {
  it('on the same leases do not wait for each other: whoever waits holds nothing yet', async () => {
    await stage.enqueue(queue, {}, {});
    const acks = (await stage.claim(queue, { maxJobs: 2 })).map((one) => ({
      token: tokenOf(one),
      result: Buffer.from('r'),
      contentType: '',
    }));
    const outcomes = await meet({
      takeOne: (run, which) => ackMany(run, stage.clock.now().toISOString(), acks.slice(which, which + 1)),
      takeBoth: () => patient.ackMany([...acks].reverse()),
    });
    expect(outcomes).toMatchObject([done('applied'), done('applied'), done('already_applied', 'already_applied')]);
  });

  it('with the same keys do not wait for each other: whoever waits has brought nothing yet', async () => {
    const keyed = (key: string) => stage.item(queue, { idempotency: { key, scope: 'RETAINED', ttlMs: null } });
    const outcomes = await meet({
      takeOne: (run, which) => enqueueMany(run, null, [keyed(which === 0 ? 'a' : 'b')]),
      takeBoth: () => patient.enqueueMany([keyed('b'), keyed('a')]),
    });
    expect(outcomes).toMatchObject([done('enqueued'), done('enqueued'), done('duplicate', 'duplicate')]);
  });

  it('with the same fairness keys do not wait for each other: whoever waits for one holds none behind it', async () => {
    const keyed = (fairnessKey: string) => stage.item(queue, { fairnessKey });
    await stage.enqueue(queue, { fairnessKey: 'a' }, { fairnessKey: 'b' });
    const outcomes = await meet({
      takeOne: (run, which) => enqueueMany(run, null, [keyed(which === 0 ? 'a' : 'b')]),
      takeBoth: () => patient.enqueueMany([keyed('b'), keyed('a')]),
    });
    expect(outcomes).toMatchObject([done('enqueued'), done('enqueued'), done('enqueued', 'enqueued')]);
  });
});
