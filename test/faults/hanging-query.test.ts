import { beforeAll, describe, expect, it } from 'vitest';
import { SettlementOutcome } from '../../gen/stint/v1/worker_service.ts';
import { Scene } from '../contract/scene.ts';
import { connect, reasonOf, type Stint } from '../contract/stint.ts';
import type { WireProxy } from '../support/wire-proxy.ts';
import { DatabaseScene, LIMIT_MS } from './database-scene.ts';
import { EveryCall } from './every-call.ts';

/** Past the deadline that the service gives a query. */
const CALL_LIMIT_MS = 60_000;

describe('a database that does not answer', { timeout: LIMIT_MS }, () => {
  let scene: DatabaseScene;
  let stints: readonly Stint[];
  beforeAll(async () => {
    scene = await DatabaseScene.open();
    stints = scene.addresses.map((address) => connect(address));
    return async () => {
      stints.forEach((stint) => stint.close());
      await scene.close();
    };
  }, LIMIT_MS);

  it('to one replica at all, leaves none of its calls hanging; nor does it to another, whose one statement it did', async () => {
    const [silent = expect.unreachable(), other = expect.unreachable()] = stints;
    const [proxy = expect.unreachable(), ofOther = expect.unreachable()] = scene.proxies;
    const calls = await EveryCall.prepare(silent);
    const breaks = async () => {
      proxy.silence(() => true);
      await Promise.all([calls.expectUnavailable(), losesOneAnswer(other, ofOther)]);
    };
    // The connections that were tried so far stay silent for good: only others serve.
    const mends = () => Promise.resolve(proxy.silence(() => false));
    await scene.suffer({ name: 'silence of the database', breaks, mends });
    await calls.expectOk();
  });

  /** Another commit's answer never comes; the connection stands. */
  async function losesOneAnswer(stint: Stint, proxy: WireProxy): Promise<void> {
    const { jobId, leaseToken } = await new Scene(stint).enqueueAndClaim();
    const lost = proxy.loseAnswer({ to: new RegExp(`^/\\* ack(-plain)? \\*/[^]*${jobId}`), instead: 'silence' });
    expect(await reasonOf(stint.ack({ leaseToken }, CALL_LIMIT_MS))).toBe('UNAVAILABLE/STORE_UNAVAILABLE');
    await lost;
    expect(await stint.ack({ leaseToken }, CALL_LIMIT_MS)).toMatchObject({ outcome: SettlementOutcome.ALREADY_APPLIED });
  }

  it('leaves nothing wrong behind', async () => {
    await scene.expectSound();
  });
});
