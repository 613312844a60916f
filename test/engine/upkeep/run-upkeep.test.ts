/** A round on demand, on the whole service, with the time played. */
import { expect, it, onTestFinished } from 'vitest';
import { Scene } from '../../contract/scene.ts';
import { connect, reasonOf, seconds } from '../../contract/stint.ts';
import { PlayedClock } from '../../support/clock.ts';
import { startService } from '../../support/service.ts';

it('removes what has been over for as long as its queue retains it, and tells how much', async () => {
  const clock = new PlayedClock();
  const service = await startService({ clock });
  onTestFinished(() => service.stop());
  const stint = connect(service.address);
  onTestFinished(() => stint.close());
  const one = new Scene(stint);
  const { namespace, queue } = one;
  await stint.putQueue({ namespace, queue: { name: queue, retention: seconds(60) }, updateMask: ['retention'] });
  const { jobId, leaseToken } = await one.enqueueAndClaim({ idempotencyKey: 'k' });
  await stint.ack({ leaseToken });
  const waiting = await one.enqueue();
  clock.advance(59_999);
  expect(await stint.runUpkeep({})).toMatchObject({ pruned: 0n });
  expect((await one.job(jobId)).jobId).toBe(jobId);
  clock.advance(1);
  expect(await stint.runUpkeep({})).toMatchObject({ pruned: 1n });
  expect(await reasonOf(one.job(jobId))).toBe('NOT_FOUND/JOB_NOT_FOUND');
  expect((await one.job(waiting.jobId)).jobId).toBe(waiting.jobId);
  expect((await one.enqueue({ idempotencyKey: 'k' })).jobId).not.toBe(jobId);
  await one.isSound();
});
