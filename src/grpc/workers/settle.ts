import { parseLeaseToken } from '../../domain/lease.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Engine } from '../../engine/engine.ts';
import type { Settled, Settlement } from '../../engine/workers/words.ts';
import type { Settlement as WireSettlement, SettleResult, WorkerServiceService } from '../../../gen/stint/v1/worker_service.ts';
import { decode, decodeItem, type Fields } from '../fields.ts';
import { JobBudget } from '../response-bound.ts';
import type { MethodHandler } from '../service.ts';
import { refusalStatus } from '../status.ts';
import { type EncodeJob, readAck, readFail, readRelease, readSuspend, wireAcked, wireFailed, wireReleased } from './settlement.ts';

export function settle(engine: Engine): MethodHandler<typeof WorkerServiceService.settle> {
  return async ({ settlements }) => {
    const items = decode((fields) => readSettlements(fields, settlements));
    return { results: wireResults(await engine.workers.settle(items)) };
  };
}

/** Positional; of a bad item its refusal, which names it under `prefix`. */
export function readSettlements(fields: Fields, settlements: readonly WireSettlement[], prefix = ''): readonly Settlement[] {
  return fields.list('settlements', settlements, ITEMS, (settlement, path) => readItem(settlement, prefix + path));
}

/** Positional, jobs as far as they fit into one response. */
export function wireResults(settled: readonly Settled[]): SettleResult[] {
  const budget = new JobBudget();
  return settled.map((outcome) => wireSettled(outcome, (job) => budget.encode(job)));
}

const ITEMS = { min: 0, max: LIMITS.batchItems };

/** A bad item is refused at its place; its neighbours are settled. */
function readItem(settlement: WireSettlement, path: string): Settlement {
  const item = decodeItem(path, (fields) => readSettlement(fields, settlement));
  return item.ok ? item.value : { kind: 'refused', refusal: item.refusal };
}

function readSettlement(fields: Fields, { leaseToken, action }: WireSettlement): Settlement {
  const token = parseLeaseToken(leaseToken);
  switch (action?.$case) {
    case 'ack':
      return { kind: 'ack', token, ...readAck(fields.within('ack'), action.ack) };
    case 'fail':
      return { kind: 'fail', token, ...readFail(fields.within('fail'), action.fail) };
    case 'release':
      return { kind: 'release', token, ...readRelease(fields.within('release'), action.release) };
    case 'suspend':
      return { kind: 'suspend', token, ...readSuspend(fields.within('suspend'), action.suspend) };
    case undefined:
      fields.refuse('action', 'is required: one of ack, fail, release, suspend');
      return fields.giveUp();
  }
}

function wireSettled(settled: Settled, encodeJob: EncodeJob): SettleResult {
  switch (settled.kind) {
    case 'ack':
      return { result: { $case: 'ack', ack: wireAcked(settled, encodeJob) } };
    case 'fail':
      return { result: { $case: 'fail', fail: wireFailed(settled, encodeJob) } };
    case 'release':
      return { result: { $case: 'release', release: wireReleased(settled, encodeJob) } };
    case 'suspend':
      return { result: { $case: 'suspend', suspend: wireAcked(settled, encodeJob) } };
    case 'refused':
      return { result: { $case: 'error', error: refusalStatus(settled.refusal) } };
  }
}
