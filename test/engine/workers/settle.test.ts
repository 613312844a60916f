import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../../src/domain/limits.ts';
import type { Failure } from '../../../src/domain/job.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { RunningEngine } from '../../../src/engine/create-engine.ts';
import { engineOn } from '../engine-on.ts';
import { policy, Stage, tokenOf } from '../stage.ts';

const failure: Failure = { code: 'boom', message: '', details: new Uint8Array(), kind: 'RETRYABLE' };
const result = { result: new Uint8Array(), contentType: '' };
const LOST = { ok: false, refusal: { kind: 'lease_lost' } };

let stage: Stage;
let queue: Queue;
let engine: RunningEngine;
beforeAll(async () => {
  stage = await Stage.open();
  engine = engineOn(stage.repository);
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(async () => {
  await engine.drain();
  await stage.close();
});

describe('a token that nobody minted', () => {
  it('is a lost lease to all but a release, which is no error', async () => {
    const { workers } = engine;
    expect(await workers.ack({ token: null, ...result })).toEqual(LOST);
    expect(await workers.fail({ token: null, failure, retryAfterMs: null })).toEqual(LOST);
    expect(await workers.start(null)).toEqual(LOST);
    expect(await workers.heartbeat([{ token: null, checkpoint: null }])).toEqual([{ kind: 'lease_lost', reason: 'NOT_HELD' }]);
    expect(await workers.release({ token: null, delayMs: 0 })).toEqual({ ok: true, value: { job: null, outcome: 'NOT_HELD' } });
  });
});

describe('a settlement', () => {
  it('is told as applied, then as already applied, then as lost to another kind', async () => {
    const token = tokenOf(await stage.held(queue));
    expect(await engine.workers.ack({ token, ...result })).toMatchObject({ value: { outcome: 'APPLIED', job: { state: 'SUCCEEDED' } } });
    expect(await engine.workers.ack({ token, ...result })).toMatchObject({ value: { outcome: 'ALREADY_APPLIED' } });
    expect(await engine.workers.fail({ token, failure, retryAfterMs: null })).toEqual(LOST);
    expect(await engine.workers.release({ token, delayMs: 0 })).toEqual({ ok: true, value: { job: null, outcome: 'NOT_HELD' } });
  });

  it.each(['ack', 'fail'] as const)('of what was not started is no transition: %s', async (action) => {
    const held = await stage.held(queue, { claim: { startOnClaim: false } });
    const token = tokenOf(held);
    const answer =
      action === 'ack' ? engine.workers.ack({ token, ...result }) : engine.workers.fail({ token, failure, retryAfterMs: null });
    const refusal = { kind: 'invalid_transition', jobId: held.job.jobId, state: 'LEASED', action };
    expect(await answer).toEqual({ ok: false, refusal });
  });

  it('waits half its backoff at least: the factor is drawn from a half to one', async () => {
    const token = tokenOf(await stage.held(queue, { job: { retry: policy({ initialBackoffMs: 8_000, jitter: true }) } }));
    expect(await engine.workers.fail({ token, failure, retryAfterMs: null })).toMatchObject({
      value: { decision: { kind: 'retry_scheduled', retryAt: stage.now + 4_000_000 } },
    });
  });
});

describe('many settlements in one call', () => {
  it('are answered each at its place, whatever became of the others', async () => {
    await stage.enqueue(queue, {}, {}, {}, {});
    const [a, b, c, d] = (await stage.claim(queue, { maxJobs: 4 })).map(tokenOf);
    if (a === undefined || b === undefined || c === undefined || d === undefined) throw new Error('nothing was claimed');
    const refusal = { kind: 'invalid_field', violations: [] } as const;
    const settled = await engine.workers.settle([
      { kind: 'release', token: d, delayMs: 0 },
      { kind: 'refused', refusal },
      { kind: 'ack', token: null, ...result },
      { kind: 'ack', token: a, ...result },
      { kind: 'fail', token: b, failure, retryAfterMs: 1_000 },
      { kind: 'ack', token: { ...c, fence: c.fence + 1n }, ...result },
      { kind: 'ack', token: a, ...result },
      { kind: 'release', token: null, delayMs: 0 },
    ]);
    expect(settled).toMatchObject([
      { kind: 'release', outcome: 'APPLIED', job: { jobId: d.jobId } },
      { kind: 'refused', refusal },
      { kind: 'refused', refusal: { kind: 'lease_lost' } },
      { kind: 'ack', outcome: 'APPLIED', job: { jobId: a.jobId } },
      { kind: 'fail', outcome: 'APPLIED', decision: { kind: 'retry_scheduled' }, job: { jobId: b.jobId } },
      { kind: 'refused', refusal: { kind: 'lease_lost' } },
      { kind: 'ack', outcome: 'ALREADY_APPLIED', job: { jobId: a.jobId } },
      { kind: 'release', outcome: 'NOT_HELD', job: null },
    ]);
    expect((await stage.job(c.jobId)).state).toBe('RUNNING');
  });
});

describe('a job that was released once too often, with no attempt left', () => {
  it('is FAILED by its release, and has a dead letter', async () => {
    const held = await stage.held(queue, { job: { retry: policy({ maxAttempts: 1 }) } });
    await stage.sql`update stint.lease set releases = ${LIMITS.releasesPerLife} where job = ${held.job.jobId}`;
    expect(await engine.workers.release({ token: tokenOf(held), delayMs: 0 })).toMatchObject({
      ok: true,
      value: { outcome: 'APPLIED', job: { state: 'FAILED', failure: { code: 'stint.release_limit', kind: 'TERMINAL' } } },
    });
    expect(await stage.eventTypes(held.job.jobId)).toEqual(['enqueued', 'claimed', 'started', 'failed']);
    expect(await stage.sql`select 1 from stint.dead_letter where job = ${held.job.jobId}`).toHaveLength(1);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });
});
