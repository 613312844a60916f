import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Queue } from '../../../src/domain/queue.ts';
import { Stage, tokenOf } from '../../engine/stage.ts';

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

const held = () => stage.held(queue, { claim: { startOnClaim: false } });

describe('a start', () => {
  it('moves a leased job to RUNNING, and answers as a read does', async () => {
    const { job, ...lease } = await held();
    stage.clock.advance(1_000);
    const [outcome] = await stage.repository.startMany([{ token: tokenOf({ job, ...lease }) }]);
    expect(outcome).toMatchObject({ kind: 'applied', job: { state: 'RUNNING', startedAt: stage.now, lastSequence: 3 } });
    expect(outcome).toHaveProperty('job', await stage.job(job.jobId));
    expect(await stage.eventTypes(job.jobId)).toEqual(['enqueued', 'claimed', 'started']);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('repeated answers as the first time, with the first instant', async () => {
    const token = tokenOf(await held());
    const [first] = await stage.repository.startMany([{ token }]);
    stage.clock.advance(1_000);
    const [again] = await stage.repository.startMany([{ token }]);
    expect(again).toEqual({ ...first, kind: 'already_applied' });
    expect(again).toHaveProperty('job', await stage.job(token.jobId));
    expect(await stage.violations(queue.namespace)).toEqual([]);
    expect(await stage.eventTypes(token.jobId)).toHaveLength(3);
  });

  it('named twice in one batch is one start', async () => {
    const token = tokenOf(await held());
    const outcomes = await stage.repository.startMany([{ token }, { token }]);
    expect(outcomes).toMatchObject([{ job: { state: 'RUNNING' } }, { job: { state: 'RUNNING' } }]);
    expect(await stage.eventTypes(token.jobId)).toHaveLength(3);
  });

  it('does not renew the lease', async () => {
    const one = await held();
    stage.clock.advance(10_000);
    const [outcome] = await stage.repository.startMany([{ token: tokenOf(one) }]);
    expect(outcome).toMatchObject({ job: { leaseExpiresAt: one.lease.expiresAt } });
  });

  it('is lost with a stale token, after the end and past the grace, and answers in order', async () => {
    const [live, lapsed, settled] = [
      await held(),
      await stage.held(queue, { claim: { startOnClaim: false, leaseDurationMs: 1_000 } }),
      await held(),
    ];
    await stage.repository.releaseMany([{ token: tokenOf(settled), delayMs: 60_000 }]);
    stage.clock.advance(6_000);
    const tokens = [tokenOf(settled), tokenOf(live), { ...tokenOf(live), secret: randomUUID() }, tokenOf(lapsed)];
    const outcomes = await stage.repository.startMany(tokens.map((token) => ({ token })));
    expect(outcomes.map(({ kind }) => kind)).toEqual(['lease_lost', 'applied', 'lease_lost', 'lease_lost']);
    expect((await stage.job(lapsed.job.jobId)).state).toBe('LEASED');
  });
});
