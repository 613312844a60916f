import type { Finding } from './finding.ts';
import { earliest, type Grant, grouped, type HistoryIndex, isOk, leaseKey } from './history-index.ts';

/** A lease as its worker may trust it. */
interface Hold {
  readonly worker: string;
  readonly jobId: string;
  readonly fence: bigint;
  readonly fromMs: number;
  /** When it must have stopped by its own clock, or has handed it back. */
  readonly untilMs: number;
}

/** I4, by the clocks of the workers: no two of them hold one job at the same moment. */
export function checkLeases(index: HistoryIndex): Finding[] {
  const holds = [...index.grants.values()].flatMap((grants) => holdsOf(index, grants));
  return [...grouped(holds, ({ jobId }) => jobId).values()].flatMap(overlaps);
}

/** One for each worker that was given the lease. */
function holdsOf(index: HistoryIndex, grants: readonly Grant[]): Hold[] {
  return [...grouped(grants, ({ claim }) => claim.worker)].flatMap(([worker, own]): Hold[] => {
    const [first] = own;
    if (first === undefined) return [];
    const { jobId, fence } = first.job;
    const settled = (index.settlementsOf.get(leaseKey(first.job)) ?? []).filter((call) => call.worker === worker);
    // Of a claim that was repeated with its id the time runs from the first try: its leases come back unchanged.
    const granted = own.map((grant) => index.claimedFromMs(grant) + grant.job.ttlMs);
    const renewed = (index.heartbeatsOf.get(leaseKey(first.job)) ?? []).filter(isOk).map(({ sentAtMs, told }) => sentAtMs + told.ttlMs);
    const untilMs = Math.max(...granted, ...renewed);
    return [
      {
        ...{ worker, jobId, fence },
        fromMs: earliest(own.map(({ claim }) => claim.endedAtMs)),
        untilMs: Math.min(untilMs, earliest(settled.map(({ sentAtMs }) => sentAtMs))),
      },
    ];
  });
}

function overlaps(holds: readonly Hold[]): Finding[] {
  // An answer that came after its own ttl gave nothing to believe in.
  const inOrder = holds.filter(({ fromMs, untilMs }) => fromMs < untilMs).toSorted((a, b) => a.fromMs - b.fromMs);
  let longest: Hold | null = null;
  const found: Finding[] = [];
  for (const hold of inOrder) {
    if (longest !== null && hold.fromMs < longest.untilMs) {
      const detail = `${hold.worker} was given job ${leaseKey(hold)} while ${longest.worker} held it under fence ${longest.fence}`;
      found.push({ kind: 'overlapping_leases', detail });
    }
    if (longest === null || hold.untilMs > longest.untilMs) longest = hold;
  }
  return found;
}
