import {
  type AwaitCall,
  type CallLine,
  type ClaimCall,
  type ClaimedRecord,
  type EnqueueCall,
  type EventRecord,
  type EventsLine,
  type FinalEndLine,
  type FinalJobLine,
  type HeartbeatCall,
  type HistoryLine,
  type LeaseRecord,
  type SettleCall,
  type SettlementOp,
  settlementOps,
  type StreamLine,
} from './record.ts';

export type Ok<Call extends CallLine> = Call & { readonly outcome: 'ok' };

/** A lease in the answer of a claim. */
export interface Grant {
  readonly claim: Ok<ClaimCall>;
  readonly job: ClaimedRecord;
}

/** A history by what it is about. */
export class HistoryIndex {
  readonly lines: readonly HistoryLine[];
  readonly enqueues: readonly EnqueueCall[];
  readonly claims: readonly ClaimCall[];
  readonly heartbeats: readonly HeartbeatCall[];
  readonly settlements: readonly SettleCall[];
  readonly awaits: readonly AwaitCall[];
  /** Streams and their messages, as they were written. */
  readonly streamed: readonly (StreamLine | EventsLine)[];
  /** All tries of each mark. */
  readonly enqueuesOf: ReadonlyMap<string, readonly EnqueueCall[]>;
  /** By `leaseKey`. */
  readonly grants: ReadonlyMap<string, readonly Grant[]>;
  /** By `leaseKey`. */
  readonly heartbeatsOf: ReadonlyMap<string, readonly HeartbeatCall[]>;
  /** By `leaseKey`. */
  readonly settlementsOf: ReadonlyMap<string, readonly SettleCall[]>;
  /** As the service told them after healing. */
  readonly jobs: ReadonlyMap<string, FinalJobLine>;
  readonly events: ReadonlyMap<string, readonly EventRecord[]>;
  readonly end: FinalEndLine | null;
  readonly #claimTries: ReadonlyMap<string, readonly ClaimCall[]>;

  constructor(lines: readonly HistoryLine[]) {
    this.lines = lines;
    this.enqueues = lines.filter((line) => line.op === 'enqueue');
    this.claims = lines.filter((line) => line.op === 'claim');
    this.heartbeats = lines.filter((line) => line.op === 'heartbeat');
    this.settlements = lines.filter(isSettlement);
    this.awaits = lines.filter((line) => line.op === 'await');
    this.streamed = lines.filter((line) => line.op === 'stream' || line.op === 'events');
    this.enqueuesOf = grouped(this.enqueues, ({ mark }) => mark);
    const grants = this.claims.filter(isOk).flatMap((claim) => claim.told.jobs.map((job) => ({ claim, job })));
    this.grants = grouped(grants, ({ job }) => leaseKey(job));
    this.heartbeatsOf = grouped(this.heartbeats, leaseKey);
    this.settlementsOf = grouped(this.settlements, leaseKey);
    this.jobs = new Map(lines.flatMap((line) => (line.op === 'final_job' ? [[line.jobId, line]] : [])));
    this.events = new Map(lines.flatMap((line) => (line.op === 'final_events' ? [[line.jobId, line.events]] : [])));
    this.#claimTries = grouped(this.claims, requestKey);
    this.end = lines.find((line) => line.op === 'final_end') ?? null;
  }

  /** When the request behind a lease was first sent: a claim repeated with its id is answered with the same leases. */
  claimedFromMs({ claim }: Grant): number {
    return earliest((this.#claimTries.get(requestKey(claim)) ?? []).map(({ sentAtMs }) => sentAtMs));
  }
}

export function isOk<Call extends CallLine>(call: Call): call is Ok<Call> {
  return call.outcome === 'ok';
}

/** Whether it may have taken effect. */
export function mayHaveHappened(call: CallLine): boolean {
  return call.outcome !== 'refused';
}

function isSettlement(line: HistoryLine): line is SettleCall {
  return settlementOps.some((op: SettlementOp) => op === line.op);
}

export function leaseKey({ jobId, fence }: LeaseRecord): string {
  return `${jobId} under fence ${fence}`;
}

function requestKey({ worker, requestId }: ClaimCall): string {
  return `${worker} ${requestId}`;
}

export function grouped<Key, Item>(items: readonly Item[], keyOf: (item: Item) => Key): ReadonlyMap<Key, readonly Item[]> {
  const groups = new Map<Key, Item[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}

/** Infinity of nothing. */
export function earliest(times: readonly number[]): number {
  return times.reduce((first, time) => Math.min(first, time), Infinity);
}

const terminalTypes: ReadonlySet<string> = new Set(['succeeded', 'failed', 'cancelled', 'abandoned']);
const terminalStates: ReadonlySet<string> = new Set(['SUCCEEDED', 'FAILED', 'CANCELLED', 'ABANDONED']);

export function endsLife({ type }: EventRecord): boolean {
  return terminalTypes.has(type);
}

export function isTerminal(state: string): boolean {
  return terminalStates.has(state);
}
