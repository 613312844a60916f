import { settlementTold } from './attempt-end.ts';
import type { Finding } from './finding.ts';
import { earliest, grouped, type HistoryIndex, isOk, leaseKey, mayHaveHappened } from './history-index.ts';
import type { CallLine, EventRecord, EventsLine } from './record.ts';

/** When the call behind an event was first sent, and first answered; Infinity if it never was. */
interface Cause {
  readonly sentMs: number;
  readonly answeredMs: number;
}

/** In every subscription, an event whose cause was answered before that of another was sent comes before it. */
export function checkStreamOrder(index: HistoryIndex): Finding[] {
  const messages = index.streamed.filter((line) => line.op === 'events');
  return [...grouped(messages, ({ subscriber }) => subscriber)].flatMap(([name, own]) => overtaken(index, name, own));
}

function overtaken(index: HistoryIndex, name: string, messages: readonly EventsLine[]): Finding[] {
  const seen = new Set<string>();
  let latest: { readonly sentMs: number; readonly event: EventRecord } | null = null;
  const found: Finding[] = [];
  for (const event of messages.flatMap(({ events }) => events)) {
    if (seen.has(nameOf(event))) continue;
    seen.add(nameOf(event));
    const cause = causeOf(index, event);
    if (cause === null) continue;
    if (latest !== null && cause.answeredMs < latest.sentMs) {
      const detail = `${name} was given ${nameOf(event)} after ${nameOf(latest.event)}, which was asked for later`;
      found.push({ kind: 'order_violation', detail });
    }
    if (latest === null || cause.sentMs > latest.sentMs) latest = { sentMs: cause.sentMs, event };
  }
  return found;
}

/** Null where no call is known for certain to be the cause. */
function causeOf(index: HistoryIndex, event: EventRecord): Cause | null {
  if (event.type === 'enqueued') {
    const mark = index.jobs.get(event.jobId)?.mark ?? '';
    return causeAmong(index.enqueuesOf.get(mark) ?? []);
  }
  if (event.type === 'claimed' || event.type === 'started') {
    const grants = index.grants.get(leaseKey(event)) ?? [];
    if (grants.length === 0) return null;
    const answeredMs = earliest(grants.map(({ claim }) => claim.endedAtMs));
    return { sentMs: earliest(grants.map((grant) => index.claimedFromMs(grant))), answeredMs };
  }
  const op = settlementTold(event);
  return op === null ? null : causeAmong((index.settlementsOf.get(leaseKey(event)) ?? []).filter((call) => call.op === op));
}

function causeAmong(tries: readonly CallLine[]): Cause | null {
  const possible = tries.filter(mayHaveHappened);
  if (possible.length === 0) return null;
  return {
    sentMs: earliest(possible.map(({ sentAtMs }) => sentAtMs)),
    answeredMs: earliest(possible.filter(isOk).map(({ endedAtMs }) => endedAtMs)),
  };
}

function nameOf({ jobId, sequence, type }: EventRecord): string {
  return `event ${sequence} (${type}) of job ${jobId}`;
}
