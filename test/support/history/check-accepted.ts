import { endOfAttempt, settlementTold } from './attempt-end.ts';
import type { Finding } from './finding.ts';
import { type HistoryIndex, isOk, isTerminal, leaseKey } from './history-index.ts';

const waitingStates: ReadonlySet<string> = new Set(['SCHEDULED', 'BLOCKED', 'READY', 'RETRY_WAIT', 'SUSPENDED']);

/** I1: what was answered is there. */
export function checkAccepted(index: HistoryIndex): Finding[] {
  return [...lostJobs(index), ...lostClaims(index), ...lostSettlements(index)];
}

function lostJobs({ enqueues, jobs }: HistoryIndex): Finding[] {
  return enqueues.filter(isOk).flatMap(({ mark, told: { jobId } }): Finding[] => {
    const job = jobs.get(jobId);
    if (job === undefined) return [{ kind: 'lost', detail: `job ${jobId} of ${mark} was accepted and is not there` }];
    if (isTerminal(job.state) || waitingStates.has(job.state)) return [];
    return [{ kind: 'lost', detail: `job ${jobId} of ${mark} neither ended nor waits: it is ${job.state}` }];
  });
}

function lostClaims({ grants, events }: HistoryIndex): Finding[] {
  return [...grants.values()].flat().flatMap(({ claim: { worker }, job: { jobId, fence } }): Finding[] => {
    const isThere = (events.get(jobId) ?? []).some((event) => event.type === 'claimed' && event.fence === fence && event.worker === worker);
    return isThere ? [] : [{ kind: 'lost', detail: `${worker} was given job ${leaseKey({ jobId, fence })}, and no event tells of it` }];
  });
}

/** An attempt that ended otherwise than its worker was told shows a settlement that came too late and was applied. */
function lostSettlements({ settlements, events }: HistoryIndex): Finding[] {
  return settlements.filter(isOk).flatMap((call): Finding[] => {
    if (call.told.effect === 'NOT_HELD') return [];
    const what = `the ${call.op} of job ${leaseKey(call)} by ${call.worker} was ${call.told.effect}`;
    const end = endOfAttempt(events.get(call.jobId) ?? [], call);
    if (end === undefined) return [{ kind: 'lost', detail: `${what}, and no event tells of it` }];
    if (settlementTold(end) === call.op) return [];
    return [{ kind: 'stale_success', detail: `${what}, but the attempt ended with ${end.type} ${end.failureCode}` }];
  });
}
