import type { Finding } from './finding.ts';
import type { HistoryIndex } from './history-index.ts';
import type { EventRecord, EventsLine, StreamLine } from './record.ts';

/** I8: the events of a job are 1..n, and each subscriber is given all of them, in that order, whatever it was resumed from. */
export function checkSequences(index: HistoryIndex): Finding[] {
  const histories = [...index.jobs.values()].flatMap(({ jobId, lastSequence }) =>
    historyGaps(jobId, index.events.get(jobId) ?? [], lastSequence),
  );
  const names = [...new Set(index.streamed.map(({ subscriber }) => subscriber))];
  return [...histories, ...names.flatMap((name) => subscriberFindings(index, name))];
}

function historyGaps(jobId: string, events: readonly EventRecord[], lastSequence: number): Finding[] {
  const sequences = events.map(({ sequence }) => sequence);
  const isWhole = sequences.length === lastSequence && sequences.every((sequence, at) => sequence === at + 1);
  return isWhole ? [] : [{ kind: 'gap', detail: `job ${jobId} has events ${sequences.join(' ')}, and ${lastSequence} is its last` }];
}

function subscriberFindings(index: HistoryIndex, name: string): Finding[] {
  const reading = new Reading(name);
  for (const line of index.streamed) if (line.subscriber === name) reading.read(line);
  return [
    ...reading.findings,
    ...reading.strangers(index),
    ...(index.end?.subscribers.includes(name) === true ? reading.missing(index) : []),
  ];
}

/** What one subscriber was given, stream after stream. */
class Reading {
  readonly findings: Finding[] = [];
  readonly #name: string;
  /** The highest sequence of each job, over all streams. */
  readonly #given = new Map<string, number>();
  /** The same within the stream at hand. */
  #inStream = new Map<string, number>();
  #isResumed = false;

  constructor(name: string) {
    this.#name = name;
  }

  read(line: StreamLine | EventsLine): void {
    if (line.op === 'stream') {
      this.#inStream = new Map();
      this.#isResumed = line.resumed;
      return;
    }
    for (const event of line.events) this.#take(event, line.stream);
  }

  /** A repeat after a cursor is no fault; a step back within a stream is, and so is a step too far. */
  #take({ jobId, sequence }: EventRecord, stream: number): void {
    const where = `event ${sequence} of job ${jobId} in stream ${stream} of ${this.#name}`;
    const before = this.#inStream.get(jobId);
    const expected = (before ?? (this.#isResumed ? this.#given.get(jobId) : undefined) ?? 0) + 1;
    if (before !== undefined && sequence <= before) this.findings.push({ kind: 'order_violation', detail: `${where} follows ${before}` });
    else if (sequence > expected) this.findings.push({ kind: 'gap', detail: `${where} comes where ${expected} was to come` });
    this.#inStream.set(jobId, Math.max(sequence, before ?? 0));
    this.#given.set(jobId, Math.max(sequence, this.#given.get(jobId) ?? 0));
  }

  /** Given, but in no history. */
  strangers({ jobs, end }: HistoryIndex): Finding[] {
    if (end === null) return [];
    return [...this.#given].flatMap(([jobId, sequence]): Finding[] => {
      const last = jobs.get(jobId)?.lastSequence ?? 0;
      return sequence <= last
        ? []
        : [{ kind: 'invented', detail: `${this.#name} was given event ${sequence} of job ${jobId}, which has ${last}` }];
    });
  }

  /** In a history, but not given by the end. What was left out before a later event is a gap already. */
  missing({ jobs }: HistoryIndex): Finding[] {
    return [...jobs.values()].flatMap(({ jobId, lastSequence }): Finding[] => {
      const given = this.#given.get(jobId) ?? 0;
      return given >= lastSequence
        ? []
        : [{ kind: 'gap', detail: `${this.#name} was given ${given} of ${lastSequence} events of job ${jobId}` }];
    });
  }
}
