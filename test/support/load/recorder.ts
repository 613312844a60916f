import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { call, type UnaryMethod } from '../../../examples/call.ts';
import type { Status } from '../../../gen/google/rpc/status.ts';
import type { HistoryWriter } from '../history/history-file.ts';
import { type CallAsk, monotonicMs } from '../history/record.ts';
import { DETAILS_TRAILER, openStatus, richStatus } from '../rich-status.ts';
import type { LoadSettings } from './settings.ts';

/** What a try adds to it: who, where and when. */
type Without<Ask, Field extends string> = Ask extends CallAsk ? Omit<Ask, Field> : never;
type Unsent = Without<CallAsk, 'process' | 'replica' | 'sentAtMs'>;

/** How one item of a call came out; a unary call has one item. */
export type ItemEnd<Told> =
  { readonly outcome: 'ok'; readonly told: Told } | { readonly outcome: 'refused' | 'unknown'; readonly reason: string };

export interface Try<Told, Response> {
  readonly rpc: string;
  readonly replica: string;
  /** One for each item. */
  readonly asks: readonly Unsent[];
  /** Positional: what became of each item when the call as a whole was answered. */
  readonly read: (response: Response) => readonly ItemEnd<Told>[];
}

/** Of an item that the answer leaves out. */
export const NO_ITEM = { outcome: 'unknown', reason: 'the answer had too few items' } as const;

/** Longer than any call takes where nothing is broken, shorter than a fault lasts. */
const DEADLINE_MS = 4_000;

/** What anyone may be told while something is broken. Whether the call took effect is not known. */
const outages: ReadonlySet<number> = new Set([status.UNAVAILABLE, status.DEADLINE_EXCEEDED]);

/** Makes calls and writes down what came of them. */
export class Recorder {
  readonly #process: string;
  readonly #writer: HistoryWriter;
  readonly #refusals: ReadonlySet<string>;

  constructor({ name, refusals }: Pick<LoadSettings, 'name' | 'refusals'>, writer: HistoryWriter) {
    this.#process = name;
    this.#writer = writer;
    this.#refusals = new Set(refusals);
  }

  /** One try of a unary call. Never throws for what the service answers. */
  async try<Told, Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
    { rpc, replica, asks, read }: Try<Told, Response>,
  ): Promise<readonly ItemEnd<Told>[]> {
    return await this.record(asks, replica, async () => {
      try {
        return read(await call(method, request, { deadlineMs: DEADLINE_MS }));
      } catch (error) {
        const end = this.judge(rpc, replica, error);
        return asks.map(() => end);
      }
    });
  }

  /** Writes down what is asked, runs it, writes down how each item came out. */
  async record<Told>(
    asks: readonly Unsent[],
    replica: string,
    run: () => Promise<readonly ItemEnd<Told>[]>,
  ): Promise<readonly ItemEnd<Told>[]> {
    const sentAtMs = monotonicMs();
    const calls = this.#writer.send(asks.map((ask) => ({ ...ask, process: this.#process, replica, sentAtMs })));
    const ends = await run();
    const endedAtMs = monotonicMs();
    this.#writer.end(calls.map((number, at) => ({ call: number, ended: { ...(ends[at] ?? NO_ITEM), endedAtMs } })));
    return ends;
  }

  /** What the end of a call or stream means; a status that nobody may see is written down besides. */
  judge(rpc: string, replica: string, error: unknown): { readonly outcome: 'refused' | 'unknown'; readonly reason: string } {
    if (!isServiceError(error)) throw error;
    // What never reached the service was answered by the client's own library, without a reason.
    const told = error.metadata.get(DETAILS_TRAILER).length > 0 ? richStatus(error).info?.reason : undefined;
    const reason = told ?? status[error.code];
    return this.#judged({ rpc, replica, code: error.code, reason, message: error.details });
  }

  /** The same for an item that was refused alone. */
  judgeItem(rpc: string, replica: string, error: Status) {
    const { code, info, message } = openStatus(error);
    return this.#judged({ rpc, replica, code, reason: info?.reason ?? '', message });
  }

  #judged(told: { rpc: string; replica: string; code: number; reason: string; message: string }) {
    const { rpc, replica, code, reason, message } = told;
    if (this.#refusals.has(reason)) return { outcome: 'refused', reason } as const;
    if (!outages.has(code)) {
      const name = status[code] ?? String(code);
      this.#writer.write({ op: 'unexpected', process: this.#process, replica, rpc, code: `${name}/${reason}`, message });
    }
    return { outcome: 'unknown', reason } as const;
  }
}

/** The end of the only item of a call. */
export function onlyOf<Told>(ends: readonly ItemEnd<Told>[]): ItemEnd<Told> {
  return ends[0] ?? NO_ITEM;
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'metadata' in error && error.metadata instanceof Metadata;
}
