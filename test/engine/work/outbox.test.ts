import { describe, expect, it } from 'vitest';
import { Outbox } from '../../../src/engine/work/outbox.ts';
import { settled } from '../lane.ts';

describe('an outbox', () => {
  it('hands on what is put, in turn, and tells each writer once the reader has come back', async () => {
    const outbox = new Outbox<string>();
    const taken: string[] = [];
    for (const message of ['a', 'b']) void outbox.put(message).then((isTaken) => taken.push(`${message} ${isTaken}`));
    const reader = outbox[Symbol.asyncIterator]();
    expect(await reader.next()).toEqual({ done: false, value: 'a' });
    await settled();
    expect(taken).toEqual([]);
    expect(await reader.next()).toEqual({ done: false, value: 'b' });
    expect(taken).toEqual(['a true']);
  });

  it('hands on what comes while the reader waits', async () => {
    const outbox = new Outbox<string>();
    const next = outbox[Symbol.asyncIterator]().next();
    await settled();
    void outbox.put('late');
    expect(await next).toEqual({ done: false, value: 'late' });
  });

  it('ends behind what was put, and takes nothing afterwards', async () => {
    const outbox = new Outbox<string>();
    const last = outbox.put('last');
    outbox.end();
    expect(await outbox.put('too late')).toBe(false);
    const told: string[] = [];
    for await (const message of outbox) told.push(message);
    expect([told, await last]).toEqual([['last'], true]);
  });

  it('fails in place of what was not taken, with the first cause', async () => {
    const outbox = new Outbox<string>();
    const untaken = outbox.put('untaken');
    outbox.fail(new Error('first'));
    outbox.fail(new Error('second'));
    await expect(outbox[Symbol.asyncIterator]().next()).rejects.toThrow('first');
    expect(await untaken).toBe(false);
  });

  it('tells the writer of the message on its way, and of those behind it, that a reader who leaves has not taken them', async () => {
    const outbox = new Outbox<string>();
    const writes = [outbox.put('on its way'), outbox.put('behind')];
    const reader = outbox[Symbol.asyncIterator]();
    await reader.next();
    await reader.return?.(undefined);
    expect(await Promise.all([...writes, outbox.put('afterwards')])).toEqual([false, false, false]);
  });

  it('wakes a reader who waits when it is closed', async () => {
    const outbox = new Outbox<string>();
    const next = outbox[Symbol.asyncIterator]().next();
    await settled();
    outbox.close();
    expect(await next).toEqual({ done: true, value: undefined });
  });
});
