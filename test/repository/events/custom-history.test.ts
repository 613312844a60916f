/** What is read of a job that has custom events. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobId } from '../../../src/domain/job.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { AppendItem } from '../../../src/engine/ports/events.ts';
import { jobFacts } from '../../../src/repository/events/history.ts';
import { Stage } from '../../engine/stage.ts';
import { explaining } from '../../support/explain.ts';

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

function fact(jobId: JobId, told: Partial<AppendItem> = {}): AppendItem {
  const { namespace } = queue;
  return { namespace, jobId, token: null, type: 'note', data: Buffer.from('d'), contentType: '', replayKey: null, ...told };
}

describe('a history with custom events', () => {
  it('is filtered by types of both kinds, and ends where a response would be too large', async () => {
    const held = await stage.held(queue);
    const { jobId } = held.job;
    const big = Buffer.alloc(65_536, 7);
    await stage.repository.appendMany(
      Array.from({ length: 60 }, (_, index) => fact(jobId, { type: index % 2 === 0 ? 'even' : 'odd', data: big })),
    );
    const typesOf = async (types: readonly string[], recent?: number) => {
      const history = await stage.repository.history(jobId, 0, 100, { types, ...(recent === undefined ? {} : { recent }) });
      return history?.events.map(({ sequence }) => sequence) ?? [];
    };
    expect(await typesOf(['claimed', 'even'])).toEqual([2, ...Array.from({ length: 30 }, (_, index) => 4 + 2 * index)]);
    expect(await typesOf(['started', 'claimed'])).toEqual([2, 3]);
    expect(await typesOf(['odd', 'started', 'nothing'], 3)).toEqual([59, 61, 63]);
    expect(await typesOf(['started', 'nothing'], 3)).toEqual([3]);
    expect(await typesOf(['nothing'], 3)).toEqual([]);
    const whole = await stage.repository.history(jobId, 0, 100);
    expect(whole?.isCut).toBe(true);
    expect(whole?.events.length).toBeGreaterThan(45);
    expect(whole?.events.length).toBeLessThan(55);
    expect((await stage.repository.history(jobId, 50, 100))?.isCut).toBeUndefined();
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('is not read for its custom events where only others are wanted', async () => {
    const { jobId } = (await stage.held(queue)).job;
    const buffersOf = async (types: readonly string[]) => {
      const { run, plans, close } = await explaining(stage.database.url);
      await jobFacts(run, [{ jobId, after: 0 }], 100, { types });
      await close();
      return plans.get('history')?.buffers ?? expect.unreachable();
    };
    const without = await buffersOf(['claimed', 'started']);
    await stage.repository.appendMany(Array.from({ length: 2_000 }, () => fact(jobId)));
    expect(await buffersOf(['claimed', 'started'])).toBeLessThan(without + 10);
    expect(await buffersOf(['claimed', 'other'])).toBeGreaterThan(without + 20);
  });
});
