import { expect, it } from 'vitest';
import { checkHistory } from '../support/history/check.ts';
import { openServiceScene } from './service-scene.ts';

const LIMIT_MS = 240_000;

it('services and workers that are killed in mid-load lose nothing and invent nothing', { timeout: LIMIT_MS }, async () => {
  const { replicas, load, atWork } = await openServiceScene(2);
  await atWork();
  // What it holds must lapse.
  await load.of('worker')[0]?.kill();
  for (const replica of replicas) {
    await replica.kill();
    // The other one goes on alone.
    await atWork();
    await replica.restart();
    await atWork();
  }
  await Promise.all(replicas.map((replica) => replica.kill()));
  await Promise.all(replicas.map((replica) => replica.restart()));
  await atWork();
  const history = await load.drain();
  // Or the kills hit nothing, and nothing was shown.
  expect(history.filter((line) => 'outcome' in line && line.outcome === 'unknown')).not.toEqual([]);
  expect(checkHistory(history)).toEqual([]);
});

it('services that are restarted in order one after the other are missed by nobody', { timeout: LIMIT_MS }, async () => {
  const { replicas, load, atWork } = await openServiceScene(2);
  await atWork();
  for (const replica of replicas) {
    expect(await replica.terminate()).toBe(0);
    await replica.restart();
    await atWork();
  }
  expect(checkHistory(await load.drain())).toEqual([]);
});
