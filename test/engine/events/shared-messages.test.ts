import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it, vi } from 'vitest';
import { SharedMessages } from '../../../src/engine/events/shared-messages.ts';
import type { LogChunk } from '../../../src/engine/ports/journal.ts';

const chunk = (): LogChunk => ({
  events: [],
  seenBefore: null,
  upTo: '1:1:',
  complete: true,
  position: { epoch: { number: 1, id: '' }, seen: '1:1:', window: null },
});

function cutting() {
  let cuts = 0;
  return { cut: () => [{ events: [], cursor: String((cuts += 1)) }], cuts: () => cuts };
}

it('a chunk is cut once for all who have the same filter, and for each other filter by itself', () => {
  const [shared, one, { cut, cuts }] = [new SharedMessages(), chunk(), cutting()];
  const first = shared.of(one, 'a', cut);
  expect(shared.of(one, 'a', cut)).toBe(first);
  expect(shared.of(one, 'b', cut)).not.toBe(first);
  expect(shared.of(chunk(), 'a', cut)).not.toBe(first);
  expect(cuts()).toBe(3);
});

it('no more than a few chunks are remembered', () => {
  const [shared, one, { cut, cuts }] = [new SharedMessages(), chunk(), cutting()];
  shared.of(one, 'a', cut);
  for (let others = 0; others < 8; others += 1) shared.of(chunk(), 'a', cut);
  expect(cuts()).toBe(9);
  shared.of(one, 'a', cut);
  expect(cuts()).toBe(10);
});

it('no more than so many bytes are remembered, however many filters there are, until chunks go', () => {
  const [shared, one, { cut, cuts }] = [new SharedMessages(1_000), chunk(), cutting()];
  for (let filter = 0; filter < 10; filter += 1) shared.of(one, String(filter), cut);
  expect(cuts()).toBe(10);
  shared.of(one, '0', cut);
  expect(cuts()).toBe(10);
  shared.of(one, '9', cut);
  expect(cuts()).toBe(11);
  for (let others = 0; others < 8; others += 1) shared.of(chunk(), 'a', cut);
  const last = chunk();
  shared.of(last, 'a', cut);
  expect(cuts()).toBe(20);
  shared.of(last, 'a', cut);
  expect(cuts()).toBe(20);
});

it('what a chunk made goes with it, also if no other one follows', async () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage: () => void = runInNewContext('gc');
  const shared = new SharedMessages();
  const made = new WeakRef(shared.of(chunk(), 'a', () => [{ events: [], cursor: 'c' }]));
  await vi.waitFor(() => {
    collectGarbage();
    // What an error tells of would be held by it.
    expect(made.deref() === undefined).toBe(true);
  });
  expect(shared.of(chunk(), 'a', () => [])).toEqual([]);
});
