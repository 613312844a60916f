import { describe, expect, it } from 'vitest';
import { Gate } from '../../src/engine/gate.ts';

/** Work that ends when it is told to. */
function held() {
  const { promise, resolve, reject } = deferred();
  return { work: () => promise, end: () => resolve('done'), fail: () => reject(new Error('broken')) };
}

function deferred() {
  let resolve: (value: string) => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<string>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}

describe('a gate', () => {
  it('lets so many in at once, and the others in turn', async () => {
    const gate = new Gate({ name: 'reads', open: 2, maxWaiting: 10 });
    const entered: string[] = [];
    const works = ['a', 'b', 'c', 'd'].map((name) => ({ name, ...held() }));
    const passes = works.map(({ name, work }) =>
      gate.pass(() => {
        entered.push(name);
        return work();
      }),
    );
    await Promise.resolve();
    expect(entered).toEqual(['a', 'b']);
    works[1]?.end();
    await passes[1];
    expect(entered).toEqual(['a', 'b', 'c']);
    for (const { end } of works) end();
    expect(await Promise.all(passes)).toEqual(['done', 'done', 'done', 'done']);
    expect(entered).toEqual(['a', 'b', 'c', 'd']);
  });

  it('refuses whom it has no room for, and forgets who failed', async () => {
    const gate = new Gate({ name: 'reads', open: 1, maxWaiting: 1 });
    const [first, second] = [held(), held()];
    const inside = gate.pass(first.work);
    const waiting = gate.pass(second.work);
    await expect(gate.pass(() => Promise.resolve(''))).rejects.toMatchObject({ refusal: { kind: 'overloaded', what: 'reads' } });
    first.fail();
    await expect(inside).rejects.toThrow('broken');
    second.end();
    expect(await waiting).toBe('done');
    expect(await gate.pass(() => Promise.resolve('free'))).toBe('free');
  });
});
