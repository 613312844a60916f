import { describe, expect, it } from 'vitest';
import { useService } from './scene.ts';
import { codeOf, reasonOf, uuidV7 } from './stint.ts';

const scene = useService();

describe('AwaitEvent', () => {
  it('answers at once with what is in the history', async () => {
    const { stint, namespace, enqueueAndClaim } = scene();
    const { jobId } = await enqueueAndClaim();
    const messages = await stint.awaitEvent({ namespace, jobId, type: 'claimed' }).rest();
    expect(messages).toMatchObject([{ event: { jobId, type: 'claimed', sequence: 2n }, latestSequence: 3n }]);
  });

  it('waits for the first of its type behind a sequence', async () => {
    const { stint, namespace, enqueue, claimOne } = scene();
    const { jobId } = await enqueue();
    await stint.appendEvent({ namespace, jobId, type: 'seen' });
    const follower = stint.awaitEvent({ namespace, jobId, type: 'seen', afterSequence: 2n });
    expect(await follower.next()).toEqual({ event: undefined, latestSequence: 2n });
    const rest = follower.rest();
    await stint.appendEvent({ namespace, jobId, type: 'other' });
    await claimOne();
    await stint.appendEvent({ namespace, jobId, type: 'seen' });
    await stint.appendEvent({ namespace, jobId, type: 'seen' });
    expect(await rest).toMatchObject([{ event: { type: 'seen', sequence: 6n } }]);
  });

  it('waits on past the end of a life', async () => {
    const { stint, namespace, enqueue } = scene();
    const { jobId } = await enqueue();
    const follower = stint.awaitEvent({ namespace, jobId, type: 'retried' });
    await follower.next();
    const rest = follower.rest();
    await stint.cancelJob({ namespace, jobId });
    await stint.retryJob({ namespace, jobId });
    expect(await rest).toMatchObject([{ event: { type: 'retried', life: 2 } }]);
  });

  it('wakes many who await one event', async () => {
    const { stint, namespace, enqueue } = scene();
    const { jobId } = await enqueue();
    const followers = Array.from({ length: 50 }, () => stint.awaitEvent({ namespace, jobId, type: 'go' }));
    await Promise.all(followers.map((follower) => follower.next()));
    const { event } = await stint.appendEvent({ namespace, jobId, type: 'go' });
    for (const follower of followers) expect(await follower.rest()).toEqual([{ event, latestSequence: 2n }]);
  });

  it('ends when the deadline does', async () => {
    const { stint, namespace, enqueue } = scene();
    const { jobId } = await enqueue();
    expect(await codeOf(stint.awaitEvent({ namespace, jobId, type: 'never' }, 300).rest())).toBe('DEADLINE_EXCEEDED');
  });

  it('does not find a job that is not there, or is of another namespace', async () => {
    const { stint, namespace } = scene();
    const stranger = await scene().enqueue();
    expect(await reasonOf(stint.awaitEvent({ namespace, jobId: uuidV7(), type: 'a' }).rest())).toBe('NOT_FOUND/JOB_NOT_FOUND');
    expect(await reasonOf(stint.awaitEvent({ namespace, jobId: stranger.jobId, type: 'enqueued' }).rest())).toBe('NOT_FOUND/JOB_NOT_FOUND');
  });
});
