import { expect, it } from 'vitest';
import { connect, seconds } from '../contract/stint.ts';
import { checkHistory } from '../support/history/check.ts';
import type { HistoryLine, SettleCall } from '../support/history/record.ts';
import { BOUNDARIES, cutWays } from '../support/load/settings.ts';
import type { Replica } from '../support/replicas.ts';
import { openServiceScene } from './service-scene.ts';

const LIMIT_MS = 240_000;
const CUT_WITHIN_MS = 120_000;

it('streams of Work that are cut behind every message lose nothing and double nothing under load', { timeout: LIMIT_MS }, async () => {
  const { replicas, load, atWork } = await openServiceScene(2, { workers: 1, streamers: 3 });
  const stint = connect(replicas.map(({ address }) => address).join(','));
  // What a cut leaves in nobody's hands is had again soon.
  for (const name of ['a', 'b']) {
    await stint.putQueue({ namespace: load.namespace, queue: { name, leaseGrace: seconds(1) }, updateMask: ['lease_grace'] });
  }
  stint.close();
  await atWork();
  // Meanwhile whoever is on one of them is told to go elsewhere.
  await Promise.all([load.untilTold(haveAllBeenCut, CUT_WITHIN_MS), restart(replicas[0])]);
  const history = await load.drain();
  expect(checkHistory(history)).toEqual([]);
  // Or the cuts hit nothing, and nothing was shown.
  const told = history.flatMap((line) => (line.op === 'ack' && line.process.startsWith('streamer') ? [outcomeOf(line)] : []));
  expect(told).toEqual(expect.arrayContaining(['APPLIED', 'ALREADY_APPLIED', 'unknown']));
  const events = history.flatMap((line) => (line.op === 'final_events' ? line.events : []));
  expect(events.map(({ failureCode }) => failureCode)).toContain('stint.lease_expired');
});

async function restart(replica: Replica | undefined): Promise<void> {
  expect(await replica?.terminate()).toBe(0);
  await replica?.restart();
}

function outcomeOf(call: SettleCall): string {
  return call.outcome === 'ok' ? call.told.effect : call.outcome;
}

/** In each way behind each message. */
function haveAllBeenCut(lines: readonly HistoryLine[]): boolean {
  const cuts = new Set(lines.flatMap((line) => (line.op === 'cut' ? [`${line.way} ${line.after}`] : [])));
  return cuts.size === cutWays.length * BOUNDARIES;
}
