import { setTimeout as pause } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import { checkHistory } from '../support/history/check.ts';
import { HistoryIndex, isOk, leaseKey } from '../support/history/history-index.ts';
import type { HeartbeatCall, HistoryLine, LeaseRecord, SettleCall } from '../support/history/record.ts';
import type { Load } from '../support/load/load.ts';
import type { LoadProcess } from '../support/load/load-process.ts';
import { openServiceScene } from './service-scene.ts';

const LIMIT_MS = 240_000;
/** The leases of the load and the grace of a queue are 7 s together. */
const PAST_THE_LEASE_MS = 8_000;
const WAIT_LIMIT_MS = 60_000;
const LOOK_MS = 50;

it('a service that stands still past the lease, and goes on, changes nothing that has moved on', { timeout: LIMIT_MS }, async () => {
  const { replicas, load, atWork } = await openServiceScene(2);
  await atWork();
  const [replica] = replicas;
  replica?.stop();
  await Promise.all([pause(PAST_THE_LEASE_MS), atWork()]);
  replica?.cont();
  await atWork();
  const history = await load.drain();
  // Or it stood still while nobody asked it.
  expect(history).toContainEqual(expect.objectContaining({ replica: replica?.address, outcome: 'unknown' }));
  expect(checkHistory(history)).toEqual([]);
});

it('a worker that stands still past its lease, and goes on, is refused whatever it does with it', { timeout: LIMIT_MS }, async () => {
  const { load, atWork } = await openServiceScene(2);
  await atWork();
  const [worker] = load.of('worker');
  if (worker === undefined) throw new Error('the load has no worker');
  const held = await stopHolding(worker, load);
  await until(() => held.every((lease) => hasLapsed(load.look(), lease)));
  worker.cont();
  // In its time each way of working says something of the lease.
  await until(() => held.every((lease) => callsAbout(load.look(), lease).length > 0));
  const history = await load.drain();
  const late = held.flatMap((lease) => callsAbout(history, lease));
  expect(late.filter((call) => isOk(call) && !('effect' in call.told && call.told.effect === 'NOT_HELD'))).toEqual([]);
  expect(checkHistory(history)).toEqual([]);
});

/** Stops it at a moment when it holds leases of which it has said nothing. Gives them. */
async function stopHolding(worker: LoadProcess, load: Load): Promise<readonly LeaseRecord[]> {
  let held: readonly LeaseRecord[] = [];
  await until(() => {
    worker.stop();
    const own = [...load.look(), ...worker.history.unended()].filter((line) => 'worker' in line && line.worker === worker.name);
    const { claims, heartbeats, settlements } = new HistoryIndex(own);
    const told = new Set([...heartbeats, ...settlements].map(leaseKey));
    held = claims.filter(isOk).flatMap(({ told: { jobs } }) => jobs.filter((job) => !told.has(leaseKey(job))));
    if (held.length === 0) worker.cont();
    return held.length > 0;
  });
  return held;
}

function hasLapsed(lines: readonly HistoryLine[], { jobId, fence }: LeaseRecord): boolean {
  return lines
    .flatMap((line) => (line.op === 'events' ? line.events : []))
    .some((event) => event.jobId === jobId && event.fence === fence && event.failureCode === 'stint.lease_expired');
}

function callsAbout(lines: readonly HistoryLine[], lease: LeaseRecord): readonly (HeartbeatCall | SettleCall)[] {
  const { heartbeats, settlements } = new HistoryIndex(lines);
  return [...heartbeats, ...settlements].filter((call) => leaseKey(call) === leaseKey(lease));
}

async function until(isSo: () => boolean): Promise<void> {
  await vi.waitFor(() => expect(isSo()).toBe(true), { timeout: WAIT_LIMIT_MS, interval: LOOK_MS });
}
