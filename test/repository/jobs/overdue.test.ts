import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type JobId, NO_TIMEOUTS } from '../../../src/domain/job.ts';
import type { Operated, ReasonItem } from '../../../src/engine/ports/repository.ts';
import { Stage, tokenOf } from '../../engine/stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
});
afterAll(() => stage.close());

const refused = { kind: 'refused', refusal: { kind: 'invalid_transition', state: 'FAILED' } };

/** What comes too late for a job that waits, and what it is told. */
const late: readonly (readonly [string, (item: ReasonItem) => Promise<readonly Operated<string>[]>, object])[] = [
  ['cancelled', (item) => stage.repository.cancelMany([item]), { kind: 'unchanged', outcome: 'ALREADY_TERMINAL' }],
  ['deferred', (item) => stage.repository.updateMany([{ ...item, change: { runAt: stage.now + 3_600_000_000 } }]), refused],
  ['given another priority', (item) => stage.repository.updateMany([{ ...item, change: { priority: 3 } }]), refused],
  ['resumed', (item) => stage.repository.resumeMany([item]), refused],
];

describe('a job that has waited too long, and that no sweep has come by,', () => {
  it.each(late)('is FAILED and not %s', async (_name, send, answer) => {
    const queue = await stage.queue();
    const [jobId] = await stage.enqueue(queue, { timeouts: { ...NO_TIMEOUTS, scheduleToStartMs: 1_000 } });
    if (jobId === undefined) throw new Error('nothing was enqueued');
    stage.clock.advance(1_000);
    expect(await send(reasoned(queue.namespace, jobId))).toMatchObject([answer]);
    expect(await stage.eventTypes(jobId)).toEqual(['enqueued', 'failed']);
    expect((await stage.job(jobId)).failure?.code).toBe('stint.timeout.schedule_to_start');
  });

  it('wherever it waits: deferred or set aside', async () => {
    const queue = await stage.queue();
    const timeouts = { ...NO_TIMEOUTS, scheduleToCloseMs: 60_000 };
    const [scheduled] = await stage.enqueue(queue, { timeouts, runAt: stage.now + 3_600_000_000 });
    const held = await stage.held(queue, { job: { timeouts } });
    await stage.repository.suspendMany([{ token: tokenOf(held), checkpoint: null, reason: '' }]);
    if (scheduled === undefined) throw new Error('nothing was enqueued');
    stage.clock.advance(60_000);
    for (const jobId of [scheduled, held.job.jobId]) {
      const [cancelled] = await stage.repository.cancelMany([reasoned(queue.namespace, jobId)]);
      expect(cancelled).toMatchObject({
        outcome: 'ALREADY_TERMINAL',
        job: { state: 'FAILED', failure: { code: 'stint.timeout.schedule_to_close' } },
      });
    }
  });

  it('may be retried: that begins another life', async () => {
    const queue = await stage.queue();
    const [jobId] = await stage.enqueue(queue, { timeouts: { ...NO_TIMEOUTS, scheduleToStartMs: 1_000 } });
    if (jobId === undefined) throw new Error('nothing was enqueued');
    stage.clock.advance(1_000);
    expect(await stage.repository.retryMany([reasoned(queue.namespace, jobId)])).toMatchObject([
      { kind: 'applied', job: { state: 'READY', life: 2 } },
    ]);
    expect(await stage.eventTypes(jobId)).toEqual(['enqueued', 'failed', 'retried']);
  });
});

function reasoned(namespace: string, jobId: JobId): ReasonItem {
  return { namespace, jobId, reason: 'why', request: null };
}
