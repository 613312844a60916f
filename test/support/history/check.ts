import { checkAccepted } from './check-accepted.ts';
import { checkAwaits } from './check-awaits.ts';
import { checkCauses } from './check-causes.ts';
import { checkDispatchOrder } from './check-dispatch-order.ts';
import { checkFences } from './check-fences.ts';
import { checkIdentity } from './check-identity.ts';
import { checkLeases } from './check-leases.ts';
import { checkSequences } from './check-sequences.ts';
import { checkSettlements } from './check-settlements.ts';
import { checkStreamOrder } from './check-stream-order.ts';
import type { Finding } from './finding.ts';
import { HistoryIndex } from './history-index.ts';
import type { HistoryLine } from './record.ts';

/**
 * Everything that a history shows to be wrong; empty is sound. A call of unknown outcome may have taken effect, once, or
 * not: nothing is told that one of the two would explain.
 */
export function checkHistory(history: readonly HistoryLine[]): Finding[] {
  const index = new HistoryIndex(history);
  return [checkTold, ...checks].flatMap((check) => check(index));
}

const checks: readonly ((index: HistoryIndex) => Finding[])[] = [
  checkAccepted,
  checkCauses,
  checkIdentity,
  checkLeases,
  checkSettlements,
  checkFences,
  checkSequences,
  checkStreamOrder,
  checkDispatchOrder,
  checkAwaits,
];

/** What needs no judging, and whether there is enough to judge. */
function checkTold({ lines, jobs, events, end }: HistoryIndex): Finding[] {
  const told = lines.flatMap((line): Finding[] => {
    if (line.op === 'unexpected') {
      return [{ kind: 'unexpected_status', detail: `${line.rpc} of ${line.process} on ${line.replica}: ${line.code} ${line.message}` }];
    }
    if (line.op === 'final_violation')
      return [{ kind: 'broken_invariant', detail: `${line.invariant} of job ${line.jobId}: ${line.detail}` }];
    return [];
  });
  const isWhole = end !== null && end.jobs === jobs.size && jobs.size === events.size;
  return isWhole ? told : [...told, { kind: 'incomplete', detail: 'the service was not asked, or not to the end, for what it knows' }];
}
