import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JobEvent } from '../../../src/domain/event.ts';
import type { JobId } from '../../../src/domain/job.ts';
import { Follower, query } from '../../feed/follower.ts';
import { startSystem, type System } from '../../model/system.ts';
import { anyStep, QUEUES, scriptedWalk, Walk, type Step } from './walk.ts';

const RUNS = 25;
const MAX_STEPS = 60;

describe('the derived history', () => {
  let system: System;
  beforeAll(async () => {
    system = await startSystem();
  });
  afterAll(() => system.close());

  /** Every event type, and the variants that tell something of their own. */
  const met = new Set<string>();

  async function listed(namespace: string, jobIds: readonly JobId[]): Promise<JobEvent[][]> {
    const pages = await Promise.all(
      jobIds.map((jobId) => system.engine.events.listEvents({ namespace, jobId, afterSequence: 0, types: [], pageSize: 1_000 })),
    );
    return pages.map((page) => (page.ok ? [...page.value.events] : []));
  }

  async function streamed(namespace: string, scope: Parameters<typeof query>[1], count: number): Promise<readonly JobEvent[]> {
    const follower = new Follower(system.engine, query(namespace, scope));
    const { events } = await follower.untilCount(count);
    await follower.leave();
    return events;
  }

  async function compare(namespace: string, jobIds: readonly JobId[]): Promise<void> {
    const histories = await listed(namespace, jobIds);
    const stream = await streamed(namespace, {}, histories.flat().length);
    expect(jobIds.map((jobId) => stream.filter((event) => event.jobId === jobId))).toEqual(histories);
    expect(stream).toHaveLength(histories.flat().length);
    for (const [index, jobId] of jobIds.entries()) {
      const history = histories[index] ?? [];
      expect(history.map(({ sequence }) => sequence)).toEqual(history.map((_, position) => position + 1));
      expect(await streamed(namespace, { scope: { kind: 'job', jobId } }, history.length)).toEqual(history);
    }
    for (const queue of QUEUES) {
      const ofQueue = stream.filter((event) => event.queue === queue);
      expect(await streamed(namespace, { scope: { kind: 'queue', queue } }, ofQueue.length)).toEqual(ofQueue);
    }
    for (const { detail } of stream) met.add(variantOf(detail));
  }

  it('equals the stream, field for field, whatever was done', { timeout: 240_000 }, async () => {
    const property = fc.asyncProperty(fc.array(anyStep, { maxLength: MAX_STEPS, size: 'max' }), async (steps: Step[]) => {
      await system.store.repository.ensurePartitions();
      const walk = new Walk(system, [system.newNamespace(), system.newNamespace()]);
      for (const step of steps) await walk.do(step);
      for (const [namespace, jobIds] of walk.jobs) await compare(namespace, jobIds);
    });
    await fc.assert(property, { numRuns: RUNS, examples: [[scriptedWalk]] });
    expect([...met].sort()).toEqual([
      'claimed',
      'custom',
      'enqueued',
      'enqueued later',
      'failed',
      'ready',
      'released',
      'released later',
      'retry_scheduled',
      'started',
      'succeeded',
    ]);
  });
});

function variantOf(detail: JobEvent['detail']): string {
  return 'runAt' in detail && detail.runAt !== null ? `${detail.type} later` : detail.type;
}
