import type { Finding } from './finding.ts';
import { grouped, type HistoryIndex, isOk, leaseKey, mayHaveHappened } from './history-index.ts';
import type { LeaseRecord, SettleCall } from './record.ts';

/** I5, I6: a stale lease changes nothing, and a settlement takes effect once. */
export function checkSettlements(index: HistoryIndex): Finding[] {
  return [...tooLate(index), ...[...index.settlementsOf.values()].flatMap(repeated)];
}

/** Settled or renewed although the job was another's, or settled, before the call was even sent. */
function tooLate({ grants, heartbeats, settlements }: HistoryIndex): Finding[] {
  const claimed = grouped([...grants.values()].flat(), ({ job }) => job.jobId);
  const passed = (call: LeaseRecord & { readonly sentAtMs: number }) =>
    (claimed.get(call.jobId) ?? []).find(({ claim, job }) => job.fence > call.fence && claim.endedAtMs < call.sentAtMs);
  const applied = settlements.filter(isOk).filter(({ told }) => told.effect === 'APPLIED');
  const stale = [...applied, ...heartbeats.filter(isOk)].flatMap((call): Finding[] => {
    const other = passed(call);
    if (other === undefined) return [];
    const detail = `${call.op} of job ${leaseKey(call)} by ${call.worker} after fence ${other.job.fence} was given to ${other.claim.worker}`;
    return [{ kind: 'stale_success', detail }];
  });
  const settledMs = new Map(applied.map((call) => [leaseKey(call), call.endedAtMs]));
  const revived = heartbeats
    .filter(isOk)
    .filter((call) => (settledMs.get(leaseKey(call)) ?? Infinity) < call.sentAtMs)
    .map((call): Finding => ({ kind: 'stale_success', detail: `${call.worker} renewed job ${leaseKey(call)} after it was settled` }));
  return [...stale, ...revived];
}

/** All that was tried with one token. */
function repeated(calls: readonly SettleCall[]): Finding[] {
  const [first] = calls;
  const done = calls.filter(isOk).filter(({ told }) => told.effect !== 'NOT_HELD');
  if (first === undefined) return [];
  const found: Finding[] = [];
  const lease = leaseKey(first);
  if (done.filter(({ told }) => told.effect === 'APPLIED').length > 1) {
    found.push({ kind: 'stale_success', detail: `job ${lease} was settled more than once` });
  }
  const kinds = new Set(done.map(({ op }) => op));
  if (kinds.size > 1) found.push({ kind: 'stale_success', detail: `job ${lease} took ${[...kinds].join(' and ')}` });
  const states = new Set(done.map(({ told }) => told.state));
  if (states.size > 1)
    found.push({ kind: 'stale_success', detail: `the settlement of job ${lease} was answered with ${[...states].join(' and ')}` });
  for (const call of done.filter(({ told }) => told.effect === 'ALREADY_APPLIED')) {
    const earlier = calls.some(
      (other) => other !== call && other.op === call.op && mayHaveHappened(other) && other.sentAtMs < call.endedAtMs,
    );
    if (!earlier) found.push({ kind: 'stale_success', detail: `the first ${call.op} of job ${lease} was ALREADY_APPLIED` });
  }
  return found;
}
