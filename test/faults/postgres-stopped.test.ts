import { setTimeout as delay } from 'node:timers/promises';
import { it, onTestFinished } from 'vitest';
import { connect } from '../contract/stint.ts';
import { DatabaseScene, LIMIT_MS } from './database-scene.ts';
import { EveryCall } from './every-call.ts';

/** Long enough for leases to lapse and for the driver's pauses to grow; a minute where there is time. */
const STOPPED_S = Number(process.env['STINT_FAULT_STOP_SECONDS'] ?? 12);

it(`a Postgres that is stopped for ${STOPPED_S} s leaves no call hanging`, { timeout: LIMIT_MS }, async () => {
  const scene = await DatabaseScene.open();
  onTestFinished(async () => await scene.close());
  const { postgres } = scene;
  const stints = scene.addresses.map((address) => connect(address));
  onTestFinished(() => stints.forEach((stint) => stint.close()));
  const calls = await Promise.all(stints.map((stint) => EveryCall.prepare(stint)));
  const breaks = async () => {
    await postgres.stop();
    const stopped = delay(STOPPED_S * 1_000);
    for (const each of calls) await each.expectUnavailable();
    await stopped;
  };
  await scene.suffer({ name: `a stop for ${STOPPED_S} s`, breaks, mends: () => postgres.start() });
  for (const each of calls) await each.expectOk();
  await scene.expectSound();
});
