import type { Finding } from './finding.ts';
import { type Grant, grouped, type HistoryIndex, leaseKey } from './history-index.ts';
import type { EventRecord } from './record.ts';

/** I5, I7: fences only rise, attempts stay within their bound. */
export function checkFences(index: HistoryIndex): Finding[] {
  const grants = [...index.grants.values()].flat();
  const events = [...index.events.values()];
  return [
    ...[...grouped(grants, ({ job }) => job.jobId).values()].flatMap(fallenAnswers),
    ...events.flatMap(fallenEvents),
    ...tooManyAttempts(index, grants),
  ];
}

/** Between a claim that was answered and one that was sent later. */
function fallenAnswers(grants: readonly Grant[]): Finding[] {
  const byAnswer = grants.toSorted((a, b) => a.claim.endedAtMs - b.claim.endedAtMs);
  const bySending = grants.toSorted((a, b) => a.claim.sentAtMs - b.claim.sentAtMs);
  let highest = 0n;
  let next = 0;
  const found: Finding[] = [];
  for (const { claim, job } of bySending) {
    for (let past = byAnswer[next]; past !== undefined && past.claim.endedAtMs < claim.sentAtMs; past = byAnswer[next]) {
      if (past.job.fence > highest) highest = past.job.fence;
      next += 1;
    }
    // The leases of a request are given again when it is repeated.
    if (job.fence < highest)
      found.push({ kind: 'fence_not_risen', detail: `${claim.worker} was given job ${leaseKey(job)} after ${highest}` });
  }
  return found;
}

function fallenEvents(events: readonly EventRecord[]): Finding[] {
  return events.flatMap((event, at): Finding[] => {
    const before = events[at - 1]?.fence ?? 0n;
    const isRisen = event.type === 'claimed' ? event.fence > before : event.fence === before;
    if (isRisen) return [];
    const detail = `event ${event.sequence} (${event.type}) of job ${leaseKey(event)} follows fence ${before}`;
    return [{ kind: 'fence_not_risen', detail }];
  });
}

function tooManyAttempts({ jobs, events }: HistoryIndex, grants: readonly Grant[]): Finding[] {
  const told = [
    ...grants.map(({ job }) => job),
    ...jobs.values(),
    ...[...events.values()].flat().map((event) => ({ ...event, maxAttempts: jobs.get(event.jobId)?.maxAttempts ?? Infinity })),
  ];
  const over = new Set(told.filter(({ attempt, maxAttempts }) => attempt > maxAttempts).map(({ jobId }) => jobId));
  return [...over].map((jobId) => ({ kind: 'too_many_attempts', detail: `job ${jobId} was tried more often than it may be` }));
}
