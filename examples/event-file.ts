import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { Event } from '../gen/stint/v1/event.ts';
import { eventLine } from './event-line.ts';

/** The last line of a block. `bytes` and `sha256` are of the lines before it, so that a block which is not whole is told from one that is. */
interface Seal {
  readonly cursor: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** Read at once, from the end backwards, until a whole block is found. */
const readBytes = 256 * 1024;
const newline = 0x0a;

/**
 * A file of events, a line each, and with them the cursor behind them. It grows by whole blocks: the lines of some events, then
 * the line of their cursor, all on disk before the next block is begun. Whatever a crash leaves of a block is cut off when the
 * file is opened again, so that the events in it and the cursor to go on from always agree.
 */
export class EventFile {
  readonly #file: FileHandle;
  readonly #path: string;
  #size: number;
  #cursor: string | null;

  private constructor(path: string, file: FileHandle, size: number, cursor: string | null) {
    this.#path = path;
    this.#file = file;
    this.#size = size;
    this.#cursor = cursor;
  }

  /** Made if it is not there; cut to its last whole block if it is. Throws for a file that has text and no block: it is not ours to cut. */
  static async open(path: string): Promise<EventFile> {
    const file = await open(path, constants.O_RDWR | constants.O_CREAT);
    const { size } = await file.stat();
    const last = await lastBlock(file, size);
    if (last === null && size > 0 && !(await isTornStart(file, size))) {
      await file.close();
      throw new Error(`${path} is not a file of events`);
    }
    const end = last?.end ?? 0;
    if (end < size) {
      await file.truncate(end);
      await file.sync();
    }
    return new EventFile(path, file, end, last?.cursor ?? null);
  }

  /** Behind the last event of the file; null where it has none yet. */
  get cursor(): string | null {
    return this.#cursor;
  }

  /** Resolves when events and cursor are on disk. One at a time. */
  async append(events: readonly Event[], cursor: string): Promise<void> {
    const { size } = await this.#file.stat();
    if (size !== this.#size) throw new Error(`somebody else writes to ${this.#path}`);
    const lines = Buffer.from(events.map((event) => `${eventLine(event)}\n`).join(''));
    const seal: Seal = { cursor, bytes: lines.length, sha256: digestOf(lines) };
    const block = Buffer.concat([lines, Buffer.from(`${JSON.stringify(seal)}\n`)]);
    await this.#write(block);
    await this.#file.datasync();
    this.#size += block.length;
    this.#cursor = cursor;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** At its place, not at the end: what two write at once tears a block, which is cut off then, and does not stand twice. */
  async #write(block: Buffer): Promise<void> {
    for (let written = 0; written < block.length;) {
      const { bytesWritten } = await this.#file.write(block, written, block.length - written, this.#size + written);
      written += bytesWritten;
    }
  }
}

/** The last block that is whole, and where it ends. Null where there is none. */
async function lastBlock(file: FileHandle, size: number): Promise<{ readonly end: number; readonly cursor: string } | null> {
  for (let end = await lineEnd(file, size); end > 0;) {
    const start = await lineEnd(file, end - 1);
    const seal = parseSeal((await read(file, start, end - 1)).toString());
    if (seal !== null && seal.bytes <= start && digestOf(await read(file, start - seal.bytes, start)) === seal.sha256) {
      return { end, cursor: seal.cursor };
    }
    end = start;
  }
  return null;
}

/** Behind the last line end before `end`; 0 where there is none. */
async function lineEnd(file: FileHandle, end: number): Promise<number> {
  for (let to = end; to > 0;) {
    const from = Math.max(0, to - readBytes);
    const found = (await read(file, from, to)).lastIndexOf(newline);
    if (found >= 0) return from + found + 1;
    to = from;
  }
  return 0;
}

/** What a crash left of the very first block: it has no events, since the first message of a subscription has none. */
async function isTornStart(file: FileHandle, size: number): Promise<boolean> {
  const begin = '{"cursor":';
  if ((await lineEnd(file, size)) > 0) return false;
  const start = (await read(file, 0, begin.length)).toString();
  return begin.startsWith(start);
}

async function read(file: FileHandle, from: number, to: number): Promise<Buffer> {
  const bytes = Buffer.alloc(to - from);
  const { bytesRead } = await file.read(bytes, 0, bytes.length, from);
  return bytes.subarray(0, bytesRead);
}

function parseSeal(line: string): Seal | null {
  if (!line.startsWith('{"cursor":')) return null;
  try {
    const { cursor, bytes, sha256 } = JSON.parse(line) as Partial<Seal>;
    return typeof cursor === 'string' && typeof bytes === 'number' && typeof sha256 === 'string' ? { cursor, bytes, sha256 } : null;
  } catch {
    return null;
  }
}

function digestOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
