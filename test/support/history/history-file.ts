import { appendFileSync, closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { CallAsk, CallLine, Ended, FactLine, HistoryLine } from './record.ts';

interface SentLine {
  readonly call: number;
  readonly asked: CallAsk;
}

interface EndLine {
  readonly call: number;
  readonly ended: Ended<unknown>;
}

type FileLine = SentLine | EndLine | FactLine;

/** Appends to the file of one process. Each line is handed to the kernel before the method returns: a SIGKILL loses none. */
export class HistoryWriter {
  readonly #file: string;
  #calls = 0;

  constructor(file: string) {
    this.#file = file;
  }

  /** To be called before the requests are sent. Gives the numbers by which `end` names the calls. */
  send(asked: readonly CallAsk[]): number[] {
    const sent = asked.map((one): SentLine => ({ call: (this.#calls += 1), asked: one }));
    this.#append(sent);
    return sent.map(({ call }) => call);
  }

  end<Told>(ends: readonly { readonly call: number; readonly ended: Ended<Told> }[]): void {
    this.#append(ends);
  }

  write(...facts: readonly FactLine[]): void {
    this.#append(facts);
  }

  #append(lines: readonly FileLine[]): void {
    appendFileSync(this.#file, lines.map((line) => `${JSON.stringify(line, digits)}\n`).join(''));
  }
}

/** A bigint is written as in source, with an n behind its digits. */
function digits(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : value;
}

function fromDigits(_name: string, value: unknown): unknown {
  return typeof value === 'string' && /^-?\d+n$/.test(value) ? BigInt(value.slice(0, -1)) : value;
}

/** Reads on in a file that is still being written. */
export class HistoryReader {
  readonly #file: string;
  readonly #open = new Map<number, CallAsk>();
  #offset = 0;

  constructor(file: string) {
    this.#file = file;
  }

  /** The facts and the ended calls that were written since the last look. */
  next(): HistoryLine[] {
    const bytes = readFrom(this.#file, this.#offset);
    // What follows the last line feed is a line that is still being written.
    const end = bytes.lastIndexOf('\n') + 1;
    this.#offset += end;
    const lines = bytes.toString('utf8', 0, end).split('\n').slice(0, -1).map(parseFileLine);
    return lines.flatMap((line) => this.#joined(line));
  }

  /** The calls that have not ended: their process died, or is still at it. */
  unended(): CallLine[] {
    return [...this.#open.values()].map((asked) => join(asked, { outcome: 'unknown', endedAtMs: null, reason: 'the caller died' }));
  }

  #joined(line: FileLine): HistoryLine[] {
    if ('asked' in line) {
      this.#open.set(line.call, line.asked);
      return [];
    }
    if (!('ended' in line)) return [line];
    const asked = this.#open.get(line.call);
    if (asked === undefined) throw new Error(`${this.#file}: call ${line.call} ended without having been sent`);
    this.#open.delete(line.call);
    return [join(asked, line.ended)];
  }
}

/** Everything of some files, each that of one process. */
export function readHistory(files: readonly string[]): HistoryLine[] {
  return files.flatMap((file) => {
    const reader = new HistoryReader(file);
    return [...reader.next(), ...reader.unended()];
  });
}

function readFrom(file: string, offset: number): Buffer {
  const descriptor = openSync(file, 'r');
  try {
    const bytes = Buffer.alloc(fstatSync(descriptor).size - offset);
    return bytes.subarray(0, readSync(descriptor, bytes, 0, bytes.byteLength, offset));
  } finally {
    closeSync(descriptor);
  }
}

/** Our own files hold what the writer was given, so the shape of a line is that of its type. */
function parseFileLine(text: string): FileLine {
  return JSON.parse(text, fromDigits) as FileLine;
}

/** The writer was given the end that belongs to the call. */
function join(asked: CallAsk, ended: Ended<unknown>): CallLine {
  return parseJoined({ ...asked, ...ended });
}

function parseJoined(line: object): CallLine {
  return line as CallLine;
}
