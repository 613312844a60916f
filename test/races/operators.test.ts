/** What others than the holder do to a job, at the same time. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type JobId } from '../../src/domain/job.ts';
import type { ReasonItem, Repository } from '../../src/engine/ports/repository.ts';
import { retrying } from '../../src/repository/jobs/retry.ts';
import { idsOf } from '../engine/stage.ts';
import { count, fromBehind, Ground, inBatches, JOBS, lastOf, outcomeOf } from './ground.ts';

let ground: Ground;
beforeAll(async () => {
  ground = await Ground.open();
});
beforeEach(() => ground.renew());
afterAll(() => ground.close());

describe('two who do the same', () => {
  const REFUSED = { kind: 'refused', refusal: { kind: 'invalid_transition' } };
  type Deed = [
    string,
    (repository: Repository, items: readonly ReasonItem[]) => Promise<readonly object[]>,
    () => Promise<readonly JobId[]>,
    string,
  ];
  const deeds: Deed[] = [
    ['retry a job begin one new life', (repository, items) => repository.retryMany(items), () => ground.failedMany(), 'retried'],
    ['resume a job resume it once', (repository, items) => repository.resumeMany(items), () => ground.suspendedMany(), 'resumed'],
  ];
  it.each(deeds)('%s', async (_name, send, prepare, last) => {
    const ids = await prepare();
    const [forth, back] = await Promise.all([
      inBatches(ground.asking(ids, 'forth'), (batch) => send(ground.here, batch)),
      fromBehind(ground.asking(ids, 'back'), (batch) => send(ground.there, batch)),
    ]);
    forth.forEach((outcome, index) => {
      const pair = [outcome, back[index]];
      expect(pair).toContainEqual(expect.objectContaining({ kind: 'applied', outcome: 'CHANGED' }));
      expect(pair).toContainEqual(
        expect.objectContaining({ ...REFUSED, refusal: expect.objectContaining({ ...REFUSED.refusal, state: 'READY' }) }),
      );
    });
    const histories = await ground.soundHistories(ids);
    expect(histories.map((types) => count(types, last))).toEqual(ids.map(() => 1));
    expect(new Set(lastOf(histories))).toEqual(new Set([last]));
  });

  it('cancel a job cancel it once', async () => {
    const ids = await ground.enqueueMany();
    const [forth, back] = await Promise.all([
      inBatches(ground.asking(ids, 'forth'), (batch) => ground.here.cancelMany(batch)),
      fromBehind(ground.asking(ids, 'back'), (batch) => ground.there.cancelMany(batch)),
    ]);
    const pairs = forth.map((outcome, index) => [outcome, back[index] ?? outcome].map(outcomeOf).sort().join());
    expect(new Set(pairs)).toEqual(new Set(['ALREADY_TERMINAL,CANCELLED']));
    await ground.soundHistories(ids);
  });

  it('complete a job differently: one of them does, and the other is refused', async () => {
    const ids = await ground.enqueueMany({ disposition: 'EXTERNALLY_OWNED' });
    const evidence = { authority: 'a', data: new Uint8Array(), contentType: '' };
    const items = (kind: 'success' | 'cancellation') =>
      ids.map((jobId) => ({
        namespace: ground.queue.namespace,
        jobId,
        request: null,
        evidence,
        completion: kind === 'success' ? { kind, result: Buffer.from('r'), contentType: '' } : { kind, reason: '' },
      }));
    const [succeeded, cancelled] = await Promise.all([
      inBatches(items('success'), (batch) => ground.here.completeMany(batch)),
      fromBehind(items('cancellation'), (batch) => ground.there.completeMany(batch)),
    ]);
    expect(succeeded.map(({ kind }) => kind)).toEqual(cancelled.map(({ kind }) => (kind === 'applied' ? 'refused' : 'applied')));
    const ends = succeeded.map(({ kind }) => (kind === 'applied' ? 'succeeded' : 'cancelled'));
    expect(lastOf(await ground.soundHistories(ids))).toEqual(ends);
  });

  it('with one request id do it once, and both are told so', async () => {
    const ids = await ground.failedMany();
    const items = ground.asking(ids).map((item) => ({ ...item, request: { requestId: `r-${item.jobId}`, digest: Buffer.from('same') } }));
    const [forth, back] = await Promise.all([
      inBatches(items, (batch) => ground.here.retryMany(batch)),
      fromBehind(items, (batch) => ground.there.retryMany(batch)),
    ]);
    const pairs = forth.map((outcome, index) => [outcome.kind, back[index]?.kind].sort().join());
    expect(new Set(pairs)).toEqual(new Set(['applied,unchanged']));
    expect(forth.map((one) => 'job' in one && one.job)).toEqual(back.map((one) => 'job' in one && one.job));
    expect((await ground.soundHistories(ids)).map((types) => count(types, 'retried'))).toEqual(ids.map(() => 1));
  });
});

describe('an update that meets a claim', () => {
  it('comes before it or is refused', async () => {
    const ids = await ground.enqueueMany();
    const changes = ids.map((jobId) => ({ namespace: ground.queue.namespace, jobId, request: null, change: { priority: 5 } }));
    const [claimed, updated] = await Promise.all([ground.claimInTurns(), fromBehind(changes, (batch) => ground.there.updateMany(batch))]);
    const histories = await ground.soundHistories(ids);
    const jobs = await ground.stage.repository.getJobs(ids);
    updated.forEach(({ kind }, index) => {
      expect(histories[index]?.includes('updated')).toBe(kind === 'applied');
      expect(jobs[index]?.priority).toBe(kind === 'applied' ? 5 : 0);
    });
    expect(new Set(idsOf(claimed)).size).toBe(claimed.length);
    const left = await ground.stage.claim(ground.queue, { maxJobs: JOBS });
    expect(new Set([...idsOf(claimed), ...idsOf(left)])).toEqual(new Set(ids));
  });
});

describe('a retry that meets an enqueue with its key', () => {
  it('is waited for by it, which then finds the key taken again', async () => {
    const idempotency = { key: 'k', scope: 'UNTIL_TERMINAL' as const, ttlMs: null };
    const ids = await ground.stage.enqueue(ground.queue, { idempotency });
    await ground.here.cancelMany(ground.asking(ids));
    const retry = await ground.openly(ground.asking(ids), retrying);
    const enqueued = ground.there.enqueueMany([ground.stage.item(ground.queue, { idempotency })]);
    await ground.stage.waitingForLocks(1);
    await retry.commit();
    expect(await enqueued).toMatchObject([{ kind: 'duplicate', job: { jobId: ids[0], life: 2, state: 'READY' } }]);
    await ground.soundHistories(ids);
  });

  it('holds the key, or the fresh job does: never two live jobs', async () => {
    const key = (index: number) => ({ key: `k-${index}`, scope: 'UNTIL_TERMINAL' as const, ttlMs: null });
    const ids = await ground.stage.enqueue(ground.queue, ...Array.from({ length: JOBS }, (_, index) => ({ idempotency: key(index) })));
    await ground.here.cancelMany(ground.asking(ids));
    const items = ids.map((_, index) => ground.stage.item(ground.queue, { idempotency: key(index) }));
    const [retried, enqueued] = await Promise.all([
      inBatches(ground.asking(ids), (batch) => ground.here.retryMany(batch)),
      fromBehind(items, (batch) => ground.there.enqueueMany(batch)),
    ]);
    retried.forEach((outcome, index) => {
      const other = enqueued[index];
      if (outcome.kind === 'refused') {
        expect(other).toMatchObject({ kind: 'enqueued' });
        expect(outcome.refusal).toEqual({ kind: 'duplicate_job', jobId: items[index]?.jobId });
      } else {
        expect(other).toMatchObject({ kind: 'duplicate', job: { jobId: ids[index], life: 2 } });
      }
    });
    await ground.soundHistories(ids);
  });
});
