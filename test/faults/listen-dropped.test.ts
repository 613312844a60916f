import { expect, it, onTestFinished, vi } from 'vitest';
import { connect } from '../contract/stint.ts';
import { DatabaseScene, LIMIT_MS } from './database-scene.ts';
import { StandingCalls } from './standing-calls.ts';

it('a replica that hears no ring, and does not know it, is told of everything all the same', { timeout: LIMIT_MS }, async () => {
  const scene = await DatabaseScene.open();
  onTestFinished(async () => await scene.close());
  const { proxies } = scene;
  const silence = () => {
    for (const proxy of proxies) proxy.silence(({ listens }) => listens);
    expect(proxies.map((proxy) => proxy.silenced())).toEqual([1, 1]);
    return Promise.resolve();
  };
  await scene.suffer({ name: 'silence on the listening connections', breaks: silence, mends: () => Promise.resolve() });
  await scene.expectSound();
  // After the load, so that a replica looks at the log for no other reason than that it is time to.
  const stints = scene.addresses.map((address) => connect(address));
  onTestFinished(() => stints.forEach((stint) => stint.close()));
  const [deaf = expect.unreachable(), other = expect.unreachable()] = stints;
  const standing = await StandingCalls.open(deaf, other);
  await standing.settle(() => 0);
  // They found out by themselves, and listened anew, in vain.
  await vi.waitFor(() => expect(proxies.map((proxy) => proxy.silenced() > 1)).toEqual([true, true]), { timeout: LIMIT_MS });
});
