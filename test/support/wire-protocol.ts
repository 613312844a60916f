/** As much of Postgres' protocol, version 3, as it takes to know which statement an answer belongs to (manual, chapter "Frontend/Backend Protocol"). */

export interface Message {
  /** One letter; empty for the first message of a client, which has none. */
  readonly type: string;
  readonly body: Buffer;
  /** The whole message, as it came. */
  readonly bytes: Buffer;
}

/** Cuts a stream of bytes into messages. */
export class MessageStream {
  #rest: Buffer = Buffer.alloc(0);
  /** A client's first message has no type, and so has each one before it is let in. */
  #untyped: boolean;

  constructor(from: 'client' | 'server') {
    this.#untyped = from === 'client';
  }

  push(bytes: Buffer): Message[] {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const messages: Message[] = [];
    for (let message = this.#next(); message !== null; message = this.#next()) messages.push(message);
    return messages;
  }

  #next(): Message | null {
    const head = this.#untyped ? 0 : 1;
    if (this.#rest.length < head + 4) return null;
    const end = head + this.#rest.readUInt32BE(head);
    if (this.#rest.length < end) return null;
    const bytes = this.#rest.subarray(0, end);
    this.#rest = this.#rest.subarray(end);
    const message = { type: bytes.toString('latin1', 0, head), body: bytes.subarray(head + 4), bytes };
    if (isStartup(message)) this.#untyped = false;
    return message;
  }
}

const PROTOCOL_MAJOR = 3;
const ENCRYPTION_REQUESTS = [80_877_103, 80_877_104];

function isStartup({ type, body }: Message): boolean {
  return type === '' && body.readUInt16BE(0) === PROTOCOL_MAJOR;
}

/** "TLS?" or "GSSAPI?", to be answered by one letter. */
export function asksForEncryption({ type, body }: Message): boolean {
  return type === '' && ENCRYPTION_REQUESTS.includes(body.readUInt32BE(0));
}

/** What a session executes, told by its messages. For clients that wait for each answer before they send the next statement. */
export class Transcript {
  /** It asked for notifications. */
  listens = false;
  /** Of the transaction in progress, or of the last one while its answer is on its way. Each with its parameters behind it, as they travel. */
  #statements: string[] = [];
  readonly #prepared = new Map<string, string>();
  #failed = false;
  #tag = '';

  /** True while a statement of the current transaction looks so: its text, and behind it its parameters. */
  ran(pattern: RegExp): boolean {
    return this.#statements.some((text) => pattern.test(text));
  }

  ofClient({ type, body }: Message): void {
    if (type === 'Q') this.#execute(cString(body, 0));
    if (type === 'P') {
      const name = cString(body, 0);
      this.#prepared.set(name, cString(body, Buffer.byteLength(name) + 1));
    }
    if (type === 'B') {
      const name = cString(body, Buffer.byteLength(cString(body, 0)) + 1);
      this.#execute(`${this.#prepared.get(name) ?? ''}\0${body.toString('latin1')}`);
    }
  }

  /** `committed` when the answer is complete and what it answers has taken effect; `undone` when complete, and it has not. */
  ofServer({ type, body }: Message): 'committed' | 'undone' | null {
    if (type === 'E') this.#failed = true;
    if (type === 'C') this.#tag = cString(body, 0);
    const isIdle = type === 'Z' && body.toString('latin1') === 'I';
    if (!isIdle) return null;
    const end = this.#failed || this.#tag === 'ROLLBACK' ? 'undone' : 'committed';
    this.#statements = [];
    this.#failed = false;
    return end;
  }

  #execute(text: string): void {
    this.#statements.push(text);
    if (/^\s*listen\b/i.test(text)) this.listens = true;
  }
}

function cString(bytes: Buffer, from: number): string {
  return bytes.toString('utf8', from, bytes.indexOf(0, from));
}
