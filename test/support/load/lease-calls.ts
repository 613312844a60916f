import { durationMs, durationOfMs } from '../../../examples/duration.ts';
import type { Job } from '../../../gen/stint/v1/job.ts';
import { FailureKind } from '../../../gen/stint/v1/retry.ts';
import {
  AckRequest,
  type ClaimedJob,
  ClaimRequest,
  FailRequest,
  HeartbeatRequest,
  type HeartbeatResult,
  ReleaseRequest,
  SettlementOutcome,
  SettleRequest,
  type SettleResult,
  type Settlement,
} from '../../../gen/stint/v1/worker_service.ts';
import type { ClaimedRecord, HeartbeatTold, SettlementOp, SettleTold } from '../history/record.ts';
import type { Program } from './program.ts';
import { type ItemEnd, NO_ITEM, onlyOf } from './recorder.ts';
import { stateName } from './wire.ts';

/** A lease that a worker of the load was given. */
export interface HeldJob extends ClaimedRecord {
  readonly token: string;
}

export interface ClaimWish {
  readonly requestId: string;
  readonly maxJobs: number;
  readonly waitMs: number;
  readonly leaseMs: number;
}

/** One try to claim. */
export async function claim({ settings, pool, recorder }: Program, wish: ClaimWish): Promise<ItemEnd<readonly HeldJob[]>> {
  const { requestId, maxJobs } = wish;
  const { name: worker, namespace, queues } = settings;
  const { replica, workers } = pool.next();
  const request = ClaimRequest.fromPartial({
    ...{ namespace, workerId: worker, queues: [...queues], maxJobs, requestId },
    wait: durationOfMs(wish.waitMs),
    leaseDuration: durationOfMs(wish.leaseMs),
  });
  let held: readonly HeldJob[] = [];
  const ends = await recorder.try(workers.claim.bind(workers), request, {
    rpc: 'Claim',
    replica,
    asks: [{ op: 'claim', worker, queues, requestId, maxJobs }],
    read: ({ jobs }) => {
      held = jobs.map(heldJob);
      return [{ outcome: 'ok', told: { jobs: held.map(({ token: _token, ...record }) => record) } }];
    },
  });
  const end = onlyOf(ends);
  return end.outcome === 'ok' ? { outcome: 'ok', told: held } : end;
}

export function heldJob({ job, lease }: ClaimedJob): HeldJob {
  if (job === undefined || lease === undefined) throw new Error('a claimed job without job or lease');
  const { jobId, attempt, maxAttempts, fence } = job;
  return { jobId, fence, attempt, maxAttempts, ttlMs: durationMs(lease.ttl), token: lease.leaseToken };
}

/** One try to renew one lease. */
export async function heartbeat({ settings, pool, recorder }: Program, { jobId, fence, token }: HeldJob): Promise<ItemEnd<HeartbeatTold>> {
  const worker = settings.name;
  const { replica, workers } = pool.next();
  const request = HeartbeatRequest.fromPartial({ workerId: worker, leases: [{ leaseToken: token }] });
  const ends = await recorder.try(workers.heartbeat.bind(workers), request, {
    rpc: 'Heartbeat',
    replica,
    asks: [{ op: 'heartbeat', worker, jobId, fence }],
    read: ({ results }) => results.map(renewalOf),
  });
  return onlyOf(ends);
}

export function renewalOf({ result }: HeartbeatResult): ItemEnd<HeartbeatTold> {
  if (result === undefined) return NO_ITEM;
  if (result.$case === 'lost') return { outcome: 'refused', reason: 'LEASE_LOST' };
  return { outcome: 'ok', told: { ttlMs: durationMs(result.renewed.ttl) } };
}

/** One try to settle several leases in one call. */
export async function settle(
  { settings, pool, recorder }: Program,
  items: readonly { readonly op: SettlementOp; readonly held: HeldJob }[],
): Promise<readonly ItemEnd<SettleTold>[]> {
  const { replica, workers } = pool.next();
  const request = SettleRequest.fromPartial({ settlements: items.map(({ op, held }) => settlementOf(op, held.token)) });
  return await recorder.try(workers.settle.bind(workers), request, {
    rpc: 'Settle',
    replica,
    asks: items.map(({ op, held: { jobId, fence } }) => ({ op, worker: settings.name, jobId, fence })),
    read: ({ results }) =>
      results.map(({ result }): ItemEnd<SettleTold> => {
        if (result === undefined) return NO_ITEM;
        return result.$case === 'error' ? recorder.judgeItem('Settle', replica, result.error) : effectOf(result);
      }),
  });
}

/** One try to settle one lease by the RPC that is named after it. */
export async function settleAlone({ settings, pool, recorder }: Program, op: SettlementOp, held: HeldJob): Promise<ItemEnd<SettleTold>> {
  const { jobId, fence, token: leaseToken } = held;
  const { replica, workers } = pool.next();
  const about = { replica, asks: [{ op, worker: settings.name, jobId, fence }], read: (answer: Answer) => [effectOfAnswer(answer)] };
  switch (op) {
    case 'ack': {
      const request = AckRequest.fromPartial({ leaseToken, ...ACK });
      return onlyOf(await recorder.try(workers.ack.bind(workers), request, { ...about, rpc: 'Ack' }));
    }
    case 'fail': {
      const request = FailRequest.fromPartial({ leaseToken, failure: FAILURE });
      return onlyOf(await recorder.try(workers.fail.bind(workers), request, { ...about, rpc: 'Fail' }));
    }
    case 'release': {
      const request = ReleaseRequest.fromPartial({ leaseToken });
      return onlyOf(await recorder.try(workers.release.bind(workers), request, { ...about, rpc: 'Release' }));
    }
  }
}

const ACK = { result: Buffer.from('done'), contentType: 'text/plain' };
const FAILURE = { code: 'load.failed', message: 'as it happens', details: '', kind: FailureKind.RETRYABLE };

export function settlementOf(op: SettlementOp, leaseToken: string): Settlement {
  switch (op) {
    case 'ack':
      return { leaseToken, action: { $case: 'ack', ack: ACK } };
    case 'fail':
      return { leaseToken, action: { $case: 'fail', fail: { failure: FAILURE, retryAfter: undefined, throttleUntil: undefined } } };
    case 'release':
      return { leaseToken, action: { $case: 'release', release: { delay: undefined } } };
  }
}

/** Every settlement is answered so. */
interface Answer {
  readonly job?: Job | undefined;
  readonly outcome: SettlementOutcome;
}

type Accepted = Exclude<NonNullable<SettleResult['result']>, { $case: 'error' }>;

function answerOf(result: Accepted): Answer {
  switch (result.$case) {
    case 'ack':
      return result.ack;
    case 'fail':
      return result.fail;
    case 'release':
      return result.release;
    case 'suspend':
      return result.suspend;
  }
}

const effects = new Map<SettlementOutcome, SettleTold['effect']>([
  [SettlementOutcome.APPLIED, 'APPLIED'],
  [SettlementOutcome.ALREADY_APPLIED, 'ALREADY_APPLIED'],
  [SettlementOutcome.NOT_HELD, 'NOT_HELD'],
]);

/** Of a settlement that was not refused. */
export function effectOf(result: Accepted): ItemEnd<SettleTold> {
  return effectOfAnswer(answerOf(result));
}

function effectOfAnswer({ job, outcome }: Answer): ItemEnd<SettleTold> {
  const effect = effects.get(outcome);
  if (effect === undefined) throw new Error(`a settlement with outcome ${outcome}`);
  return { outcome: 'ok', told: { effect, state: job === undefined ? '' : stateName(job.state) } };
}
