import { describe, expect, it } from 'vitest';
import type { Queue } from '../../../src/domain/queue.ts';
import type { Given } from '../../../src/engine/ports/repository.ts';
import { StoreError } from '../../../src/engine/ports/store-error.ts';
import { sortingFirst } from '../../../src/engine/workers/sorted-claim.ts';

const [sorted, unsorted] = ['sorted', 'unsorted'].map((name, id): Queue => ({ id, epoch: 1, namespace: 'n', name }));
const queues = [sorted ?? expect.unreachable(), unsorted ?? expect.unreachable()];
const DONE: Given = { jobs: [[]], limits: [] };
const FIRST: Given = { jobs: [[]], limits: [{ queue: 'unsorted', limiter: 'UNSORTED', ready: true, openInMs: null }] };

/** A claim whose looks and steps come to these. */
function scripted(looks: readonly Given[], steps: readonly (boolean | Error)[]) {
  const asked: string[] = [];
  const [given, done] = [[...looks], [...steps]];
  const claim = sortingFirst({
    claim: async (_queues, _slots, types = []) => {
      asked.push(`claim ${types.join()}`);
      return given.shift() ?? expect.unreachable();
    },
    sortByType: async (of) => {
      asked.push(`sort ${of.map(({ name }) => name).join()}`);
      const step = done.shift() ?? expect.unreachable();
      if (step instanceof Error) throw step;
      return step;
    },
  });
  return { asked, claim: () => claim(queues, [], ['t']) };
}

describe('a claim by type', () => {
  it('of queues that are sorted is one look', async () => {
    const { asked, claim } = scripted([DONE], []);
    expect(await claim()).toBe(DONE);
    expect(asked).toEqual(['claim t']);
  });

  it('sorts those that are not, step by step, and looks again', async () => {
    const { asked, claim } = scripted([FIRST, DONE], [false, false, true]);
    expect(await claim()).toBe(DONE);
    expect(asked).toEqual(['claim t', 'sort unsorted', 'sort unsorted', 'sort unsorted', 'claim t']);
  });

  it('tries a step again that others kept waiting', async () => {
    const { asked, claim } = scripted([FIRST, DONE], [new StoreError('contended', 'busy'), true]);
    expect(await claim()).toBe(DONE);
    expect(asked).toHaveLength(4);
  });

  it('fails as its step does', async () => {
    const error = new StoreError('unavailable', 'away');
    await expect(scripted([FIRST], [error]).claim()).rejects.toBe(error);
  });
});
