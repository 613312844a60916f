import type { Finding } from './finding.ts';
import { earliest, grouped, type HistoryIndex, isOk, leaseKey, mayHaveHappened } from './history-index.ts';
import type { CallLine } from './record.ts';

/**
 * How long a statement of the service may hold rows after its caller has given up: the service's own deadline of a
 * query. What such a statement has locked is not to be had for others, and nobody can tell what that was.
 */
const LOCKS_LAST_MS = 15_000;

/** When a job was enqueued and when it was first claimed, each as an interval within which it must have happened. */
interface Passage {
  readonly jobId: string;
  readonly enqueueSentMs: number;
  readonly enqueueAnsweredMs: number;
  readonly claimSentMs: number;
  readonly claimAnsweredMs: number;
}

/**
 * I10: of one queue and priority, if A's enqueue was answered before B's was sent, no claim of B completes before a claim
 * of A begins. For jobs that were READY from the start, and had that time while every call was answered.
 */
export function checkDispatchOrder(index: HistoryIndex): Finding[] {
  const troubles = index.lines.filter(isCall).filter(({ outcome }) => outcome === 'unknown');
  return [...grouped([...index.jobs.values()], ({ queue, priority }) => `${queue} ${priority}`).values()].flatMap((jobs) => {
    const passages = jobs.map(({ jobId, mark }) => passageOf(index, jobId, mark));
    const delayed = new Set(
      jobs.filter(({ mark }) => index.enqueuesOf.get(mark)?.some(({ delayMs }) => delayMs > 0)).map(({ jobId }) => jobId),
    );
    const steady = passages.filter((passage) => !delayed.has(passage.jobId) && !isTroubled(passage, troubles));
    return overtakings(steady, passages);
  });
}

function passageOf(index: HistoryIndex, jobId: string, mark: string): Passage {
  const enqueues = (index.enqueuesOf.get(mark) ?? []).filter(mayHaveHappened);
  const first = index.events.get(jobId)?.find(({ type }) => type === 'claimed');
  const grants = first === undefined ? [] : (index.grants.get(leaseKey(first)) ?? []);
  const known = earliest(grants.map((grant) => index.claimedFromMs(grant)));
  return {
    jobId,
    enqueueSentMs: earliest(enqueues.map(({ sentAtMs }) => sentAtMs)),
    enqueueAnsweredMs: earliest(enqueues.filter(isOk).map(({ endedAtMs }) => endedAtMs)),
    // Claimed by a call that was never answered, it may have been claimed at any time.
    claimSentMs: first !== undefined && grants.length === 0 ? -Infinity : known,
    claimAnsweredMs: earliest(grants.map(({ claim }) => claim.endedAtMs)),
  };
}

/** Each B against the A whose claim began last among those that were there before B was asked for. */
function overtakings(steady: readonly Passage[], all: readonly Passage[]): Finding[] {
  const before = steady.toSorted((a, b) => a.enqueueAnsweredMs - b.enqueueAnsweredMs);
  const found: Finding[] = [];
  let next = 0;
  let last: Passage | null = null;
  for (const later of all.toSorted((a, b) => a.enqueueSentMs - b.enqueueSentMs)) {
    for (let one = before[next]; one !== undefined && one.enqueueAnsweredMs < later.enqueueSentMs; one = before[next]) {
      if (last === null || one.claimSentMs > last.claimSentMs) last = one;
      next += 1;
    }
    if (last !== null && later.claimAnsweredMs < last.claimSentMs) {
      found.push({
        kind: 'order_violation',
        detail: `job ${later.jobId} was claimed before job ${last.jobId}, which was enqueued before it`,
      });
    }
  }
  return found;
}

function isTroubled({ enqueueSentMs, claimSentMs }: Passage, troubles: readonly CallLine[]): boolean {
  return troubles.some(({ sentAtMs, endedAtMs }) => sentAtMs <= claimSentMs && enqueueSentMs <= (endedAtMs ?? Infinity) + LOCKS_LAST_MS);
}

function isCall(line: HistoryIndex['lines'][number]): line is CallLine {
  return 'outcome' in line;
}
