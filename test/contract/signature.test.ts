import { describe, expect, it } from 'vitest';
import { type Scene, useService } from './scene.ts';
import { reasonOf, refusal, seconds } from './stint.ts';

const scene = useService();

const signatureOf = async ({ stint, namespace, queue }: Scene) => await stint.getSignature({ namespace, queue });

/** The same course of things, in whatever world: one job fails and waits, one is cancelled, one runs, two wait. */
async function live(here: Scene, workerId = 'worker-1'): Promise<void> {
  const { stint, namespace, enqueue, claimOne } = here;
  await enqueue({ idempotencyKey: 'a', priority: 3 });
  await enqueue({ idempotencyKey: 'b', priority: 2 });
  const { jobId } = await enqueue({ idempotencyKey: 'c', priority: 1 });
  await enqueue({ idempotencyKey: 'd' });
  await enqueue({ idempotencyKey: 'e' });
  const { leaseToken } = await claimOne({ workerId });
  await stint.fail({ leaseToken, failure: { code: 'full', message: String(Math.random()) }, retryAfter: seconds(3_600) });
  await claimOne({ workerId });
  await stint.cancelJob({ namespace, jobId, reason: 'not wanted' });
}

describe('GetSignature', () => {
  it('is the same for the same history, whoever lived through it', async () => {
    const [one, other] = [scene(), scene()];
    await live(one);
    await live(other, 'another-worker');
    const { signature, jobCount } = await signatureOf(one);
    expect(signature).toMatch(/^[0-9a-f]{64}$/);
    expect(jobCount).toBe(5n);
    expect(await signatureOf(other)).toEqual({ signature, jobCount });
  });

  it('changes with what happens next, and with nothing else', async () => {
    const here = scene();
    await live(here);
    const { stint, namespace, enqueue, claimOne } = here;
    const before = await signatureOf(here);
    await enqueue({ queue: 'other' });
    expect(await signatureOf(here)).toEqual(before);
    const { leaseToken } = await claimOne();
    const claimed = await signatureOf(here);
    expect(claimed.signature).not.toBe(before.signature);
    await stint.heartbeat({ workerId: 'worker-1', leases: [{ leaseToken, checkpoint: Buffer.from('half') }] });
    expect(await signatureOf(here)).toEqual(claimed);
    await stint.ack({ leaseToken });
    expect((await signatureOf(here)).signature).not.toBe(claimed.signature);
    expect((await stint.getSignature({ namespace, queue: 'other' })).jobCount).toBe(1n);
  });

  it('tells the order of the backlog', async () => {
    const [one, other] = [scene(), scene()];
    for (const type of ['a', 'b']) await one.enqueue({ type });
    for (const type of ['b', 'a']) await other.enqueue({ type });
    expect((await signatureOf(one)).signature).not.toBe((await signatureOf(other)).signature);
  });

  it('does not find a queue that is not there, and refuses a bad name', async () => {
    const { stint, namespace, enqueue, queue } = scene();
    expect(await reasonOf(stint.getSignature({ namespace, queue }))).toBe('NOT_FOUND/QUEUE_NOT_FOUND');
    await enqueue();
    expect(await reasonOf(stint.getSignature({ namespace: `${namespace}x`, queue }))).toBe('NOT_FOUND/QUEUE_NOT_FOUND');
    expect((await refusal(stint.getSignature({ namespace, queue: '' }))).violations.map(({ field }) => field)).toEqual(['queue']);
  });
});
