import { settlementTold } from './attempt-end.ts';
import type { Finding } from './finding.ts';
import { type HistoryIndex, leaseKey, mayHaveHappened } from './history-index.ts';
import type { ClaimCall, EventRecord, FinalJobLine } from './record.ts';

/** I2: whatever is there, somebody called for it. */
export function checkCauses(index: HistoryIndex): Finding[] {
  const jobs = [...index.jobs.values()].flatMap((job) => jobWithoutCause(index, job));
  const idleClaims = index.claims.filter(({ outcome }) => outcome === 'unknown');
  const events = [...index.events.values()].flat().flatMap((event): Finding[] => {
    const missing = missingCause(index, idleClaims, event);
    return missing === null
      ? []
      : [{ kind: 'invented', detail: `event ${event.sequence} (${event.type}) of job ${leaseKey(event)}: ${missing}` }];
  });
  return [...jobs, ...events];
}

function jobWithoutCause({ enqueuesOf }: HistoryIndex, { jobId, mark, queue, priority }: FinalJobLine): Finding[] {
  const tries = (enqueuesOf.get(mark) ?? []).filter(mayHaveHappened);
  const isAsked = tries.some((ask) => ask.queue === queue && ask.priority === priority && (ask.jobId ?? jobId) === jobId);
  return isAsked ? [] : [{ kind: 'invented', detail: `nobody enqueued job ${jobId} (mark ${mark}, queue ${queue}, priority ${priority})` }];
}

/** What should have been called and was not; null if all is well. */
function missingCause(index: HistoryIndex, unknownClaims: readonly ClaimCall[], event: EventRecord): string | null {
  const { jobId, type, worker } = event;
  const mayBeClaimed = () => unknownClaims.some((claim) => claim.worker === worker);
  if (type === 'claimed' || type === 'started') {
    const isGranted = (index.grants.get(leaseKey(event)) ?? []).some(({ claim }) => claim.worker === worker);
    return isGranted || mayBeClaimed() ? null : `no claim of ${worker} explains it`;
  }
  if (!knownTypes.has(type)) return 'no client does that';
  const op = settlementTold(event);
  if (op === null) return null;
  const isSettled = (index.settlementsOf.get(leaseKey(event)) ?? []).some((call) => call.op === op && mayHaveHappened(call));
  // A claim that was given up may have been answered to nobody: then the service itself gave the job back.
  if (isSettled || (op === 'release' && mayBeClaimed())) return null;
  return `no ${op} of ${worker} explains it (job ${jobId})`;
}

/** Without a call: `ready` comes with time, and failures of the service's own with a lapsed lease. */
const knownTypes: ReadonlySet<string> = new Set(['enqueued', 'ready', 'released', 'retry_scheduled', 'succeeded', 'failed']);
