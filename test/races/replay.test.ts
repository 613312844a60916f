/** Those who begin the next life of a job that failed, and meet: one of them does. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DeadLetterId } from '../../src/domain/dead-letter.ts';
import type { Failure } from '../../src/domain/job.ts';
import type { Queue } from '../../src/domain/queue.ts';
import type { ReplayPage } from '../../src/engine/ports/dead-letters.ts';
import type { ClaimedJob, Repository } from '../../src/engine/ports/repository.ts';
import { operate } from '../../src/repository/jobs/operate.ts';
import { retrying } from '../../src/repository/jobs/retry.ts';
import { replayPage } from '../../src/repository/queues/replay-dead-letters.ts';
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

const poison: Failure = { code: 'poison', message: '', details: new Uint8Array(), kind: 'TERMINAL' };

const failHeld = (held: ClaimedJob) =>
  stage.repository.failMany([{ token: tokenOf(held), failure: poison, retryAfterMs: null, jitterFactor: 1 }]);

/** A job of the queue whose first life has failed. */
async function failed(): Promise<DeadLetterId> {
  const held = await stage.held(queue);
  await failHeld(held);
  return { jobId: held.job.jobId, life: 1 };
}

const page = (...ids: readonly DeadLetterId[]): ReplayPage => ({
  ...{ namespace: queue.namespace, queue: null, reason: '', request: null, next: null },
  ids,
});

const played = () => stage.clock.now().toISOString();

const openReplay = (id: DeadLetterId) =>
  openTransaction(stage.database.url, (run) => replayPage({ transaction: (work) => work(run) }, played(), page(id)));

async function replayedAt({ jobId }: DeadLetterId) {
  const filter = { namespace: queue.namespace, queue: null, type: null, failureCode: null, jobId, includeReplayed: true };
  return (await stage.repository.listDeadLetters(filter, 10, null)).deadLetters.map((one) => one.replayedAt);
}

describe('a replay', () => {
  it('that waits for another of the same record finds it done', async () => {
    const id = await failed();
    const first = await openReplay(id);
    expect(first.outcome.answer).toMatchObject({ value: { results: [{ result: { ok: true } }] } });
    const second = patient.replayPage(page(id));
    await stage.waitingForLocks(1);
    await first.commit();
    expect((await second).answer).toMatchObject({
      value: { results: [{ result: { ok: false, refusal: { kind: 'invalid_transition', state: 'READY' } } }] },
    });
    expect(await stage.job(id.jobId)).toMatchObject({ life: 2, state: 'READY' });
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('that waits for one which is undone is done itself', async () => {
    const id = await failed();
    const first = await openReplay(id);
    const second = patient.replayPage(page(id));
    await stage.waitingForLocks(1);
    await first.rollback();
    expect((await second).answer).toMatchObject({ value: { results: [{ result: { ok: true, value: id.jobId } }] } });
    expect(await replayedAt(id)).toEqual([stage.now]);
  });

  it('that waits for a retry by hand finds it done', async () => {
    const id = await failed();
    const item = { namespace: queue.namespace, jobId: id.jobId, reason: '', request: null };
    const retry = await openTransaction(stage.database.url, (run) =>
      operate({ transaction: (work) => work(run) }, played(), [item], retrying),
    );
    const replay = patient.replayPage(page(id));
    await stage.waitingForLocks(1);
    await retry.commit();
    expect((await replay).answer).toMatchObject({ value: { results: [{ result: { ok: false } }] } });
    expect(await stage.job(id.jobId)).toMatchObject({ life: 2 });
  });

  it('of the same records from the left and from the right blocks nobody', async () => {
    for (let round = 0; round < 20; round += 1) {
      const ids: DeadLetterId[] = [];
      for (let count = 0; count < 6; count += 1) ids.push(await failed());
      const replays = await Promise.all([patient.replayPage(page(...ids)), patient.replayPage(page(...ids.toReversed()))]);
      const changed = replays.flatMap((one) => one.changed.map(({ jobId }) => jobId));
      expect(changed.toSorted()).toEqual(ids.map(({ jobId }) => jobId).toSorted());
      await stage.claim(queue, { maxJobs: 10 });
    }
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('keeps the checkpoint, and marks only the record of the life that it follows', async () => {
    const held = await stage.held(queue);
    await stage.repository.heartbeatMany([{ token: tokenOf(held), checkpoint: Buffer.from('half') }]);
    await failHeld(held);
    const { jobId } = held.job;
    await stage.repository.replayPage(page({ jobId, life: 1 }));
    const [again] = await stage.claim(queue);
    expect(again?.checkpoint).toEqual(Buffer.from('half'));
    const firstReplay = stage.now;
    stage.clock.advance(1_000);
    await failHeld(again ?? expect.unreachable());
    stage.clock.advance(1_000);
    await stage.repository.replayPage(page({ jobId, life: 2 }));
    expect(await replayedAt({ jobId, life: 2 })).toEqual([firstReplay, stage.now]);
  });
});
