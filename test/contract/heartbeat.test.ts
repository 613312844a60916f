import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { JobState } from '../../gen/stint/v1/job.ts';
import { Directive, LeaseLostReason } from '../../gen/stint/v1/lease.ts';
import { SettlementOutcome } from '../../gen/stint/v1/worker_service.ts';
import { useService } from './scene.ts';
import { fromNow, type Held, reasonOf, seconds, type Stint } from './stint.ts';

const scene = useService();
const soon = { initialBackoff: { seconds: 0n, nanos: 1_000_000 }, jitter: false };

describe('Heartbeat', () => {
  it('renews each lease, and tells which are lost', async () => {
    const { stint, enqueueAndClaim } = scene();
    const live = await enqueueAndClaim({}, { leaseDuration: seconds(10) });
    const ended = await enqueueAndClaim();
    await stint.ack({ leaseToken: ended.leaseToken });
    const leases = [live, ended, { leaseToken: 'made-up' }, live].map(({ leaseToken }) => ({ leaseToken }));
    const { results } = await stint.heartbeat({ workerId: 'worker-1', leases });
    expect(results.map(({ result }) => result?.$case)).toEqual(['renewed', 'lost', 'lost', 'renewed']);
    const [first] = results;
    expect(first?.result).toMatchObject({ renewed: { ttl: seconds(10), directive: Directive.CONTINUE } });
    const before = live.claimed.lease?.expiresAt;
    const after = first?.result?.$case === 'renewed' ? first.result.renewed.expiresAt : undefined;
    expect(Number(after?.seconds) * 1e9 + (after?.nanos ?? 0)).toBeGreaterThan(Number(before?.seconds) * 1e9 + (before?.nanos ?? 0));
  });

  it('hands a checkpoint to the next attempt', async () => {
    const { stint, enqueueAndClaim, claimOne } = scene();
    const { leaseToken } = await enqueueAndClaim({ retry: soon });
    await stint.heartbeat({ workerId: 'worker-1', leases: [{ leaseToken, checkpoint: Buffer.from('half way') }] });
    await stint.fail({ leaseToken });
    const next = await claimOne();
    expect(next.claimed.checkpoint).toEqual(Buffer.from('half way'));
  });

  it('of nothing is answered with nothing', async () => {
    expect(await scene().stint.heartbeat({ workerId: 'worker-1' })).toEqual({ results: [] });
  });

  it('keeps a lease beyond its first duration, and without it the end takes the attempt', { timeout: 60_000 }, async () => {
    const { stint, enqueueAndClaim, terminal, eventTypes, isSound } = scene();
    const briefly = { leaseDuration: seconds(1) };
    const kept = await enqueueAndClaim({}, briefly);
    const left = await enqueueAndClaim({ retry: { maxAttempts: 1 } }, briefly);
    let isOver = false;
    const over = terminal(left.jobId).finally(() => (isOver = true));
    while (!isOver) {
      expect(await beat(stint, kept)).toEqual(['renewed']);
      await delay(100);
    }
    expect(await over).toMatchObject({ state: JobState.FAILED, attempt: 1, failure: { code: 'stint.lease_expired' } });
    expect((await eventTypes(left.jobId)).at(-1)).toBe('failed');
    expect(await reasonOf(stint.ack({ leaseToken: left.leaseToken }))).toBe('FAILED_PRECONDITION/LEASE_LOST');
    expect(await beat(stint, left)).toEqual([LeaseLostReason.EXPIRED]);
    expect((await stint.ack({ leaseToken: kept.leaseToken })).outcome).toBe(SettlementOutcome.APPLIED);
    expect(await beat(stint, kept)).toEqual([LeaseLostReason.SETTLED]);
    expect(await beat(stint, { leaseToken: 'made-up' })).toEqual([LeaseLostReason.NOT_HELD]);
    await isSound();
  });

  it('comes in time as long as the grace lasts', async () => {
    const { stint, enqueue, enqueueAndClaim, claimOne } = scene();
    const held = await enqueueAndClaim({}, { leaseDuration: seconds(1) });
    const marker = await enqueue({ queue: 'later', runAt: fromNow(1.2) });
    // Due by the database's clock after the lease's end: from here on only the grace is left.
    expect((await claimOne({ queues: ['later'] })).jobId).toBe(marker.jobId);
    expect(await beat(stint, held)).toEqual(['renewed']);
  });

  async function beat(stint: Stint, { leaseToken }: Pick<Held, 'leaseToken'>) {
    const { results } = await stint.heartbeat({ workerId: 'worker-1', leases: [{ leaseToken }] });
    return results.map(({ result }) => (result?.$case === 'lost' ? result.lost.reason : result?.$case));
  }
});
