import { checkFences } from './check-fences.ts';
import { checkSequences } from './check-sequences.ts';
import type { Finding } from './finding.ts';
import { grouped, HistoryIndex, isOk, leaseKey } from './history-index.ts';
import type { AwaitCall, CallLine, ClaimCall, EventsLine, HistoryLine, StreamLine } from './record.ts';

/** When calls were answered of commits that a database may have lost, in the time of the history. */
export interface LossWindow {
  /** What was answered before is kept. */
  readonly fromMs: number;
  /** What was answered from then on is of the next history of the database. */
  readonly untilMs: number;
}

/**
 * What a history is worth once an asynchronous standby has taken over: nobody can tell whether what was answered in the
 * window has taken effect. Of a subscriber there is only what it read since it last began at the beginning.
 */
export function withoutLostAnswers(history: readonly HistoryLine[], window: LossWindow): HistoryLine[] {
  const told = history.filter((line) => line.op === 'await').filter((call) => isLost(call, window));
  const awaits = new Set(told.map(awaitKey));
  const former = new Set<HistoryLine>(formerReadings(history));
  return history
    .filter((line) => !former.has(line) && !(line.op === 'await' && awaits.has(awaitKey(line))))
    .map((line) => ('outcome' in line && isLost(line, window) ? unknown(line) : line));
}

/** What no loss excuses: a lease that is given twice or under a lower fence, and gaps in what was read before. */
export function checkAcrossLoss(history: readonly HistoryLine[]): Finding[] {
  const claims = history.filter((line) => line.op === 'claim');
  const findings = [claims, formerReadings(history)].map((lines) => new HistoryIndex(lines));
  return [...findings.flatMap((index) => [...checkFences(index), ...checkSequences(index)]), ...twiceGiven(claims)];
}

function isLost(call: CallLine, { fromMs, untilMs }: LossWindow): boolean {
  return call.outcome === 'ok' && call.endedAtMs >= fromMs && call.endedAtMs < untilMs;
}

function unknown(call: CallLine): CallLine {
  return { ...call, outcome: 'unknown', reason: 'the database may have lost it' };
}

/** Whoever was told the end of a job does not await it again, so its awaits are dropped. */
function awaitKey({ process, jobId }: AwaitCall): string {
  return `${process} ${jobId}`;
}

/** What each subscriber read before it last began at the beginning. */
function formerReadings(history: readonly HistoryLine[]): (StreamLine | EventsLine)[] {
  const streamed = history.filter((line) => line.op === 'stream' || line.op === 'events');
  return [...grouped(streamed, ({ subscriber }) => subscriber).values()].flatMap((lines) =>
    lines.slice(
      0,
      lines.findLastIndex((line) => line.op === 'stream' && !line.resumed),
    ),
  );
}

function twiceGiven(claims: readonly ClaimCall[]): Finding[] {
  const given = claims
    .filter(isOk)
    .flatMap((claim) => claim.told.jobs.map((job) => ({ job, request: `${claim.worker} ${claim.requestId}` })));
  return [...grouped(given, ({ job }) => leaseKey(job))].flatMap(([lease, grants]): Finding[] => {
    const requests = new Set(grants.map(({ request }) => request));
    return requests.size === 1 ? [] : [{ kind: 'duplicated', detail: `job ${lease} was given to ${[...requests].join(' and ')}` }];
  });
}
