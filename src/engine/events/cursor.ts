/**
 * Cursors: where a subscription goes on, as opaque text. Bound to what is followed, so that a cursor of one filter is
 * refused for another, and to the epoch, so that one of another history is never silently continued.
 */
import { createHash } from 'node:crypto';
import { RefusalError, type Refusal } from '../../domain/error.ts';
import type { Epoch, LogPosition } from '../ports/journal.ts';
import type { Subscribe } from '../engine.ts';

export type Cursor =
  { readonly kind: 'log'; readonly position: LogPosition } | { readonly kind: 'job'; readonly epochId: string; readonly sequence: number };

const VERSION = 1;
const MAX_XID8 = 2n ** 64n;
const MAX_INT4 = 2 ** 31 - 1;
const SNAPSHOT = /^\d{1,20}:\d{1,20}:(?:\d{1,20}(?:,\d{1,20})*)?$/;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** Bytes of filter digest in a cursor: enough that no two filters of a user meet by chance. */
const FILTER_BYTES = 9;

export function formatCursor(query: Subscribe, cursor: Cursor): string {
  const told =
    cursor.kind === 'job'
      ? [VERSION, filterDigest(query), cursor.epochId, cursor.sequence]
      : [
          VERSION,
          filterDigest(query),
          cursor.position.epoch.id,
          cursor.position.epoch.number,
          cursor.position.seen,
          windowParts(cursor.position),
        ];
  return Buffer.from(JSON.stringify(told)).toString('base64url');
}

const EXPIRED = {
  other_history: 'it belongs to another history of the database',
  not_retained: 'the log is not kept so far back',
} as const;

/** With the cursor that begins at the oldest retained event of the epoch: that one outlives every retention. */
export function cursorExpired(query: Subscribe, why: keyof typeof EXPIRED, epoch: Epoch): Refusal {
  const oldest: Cursor =
    query.scope.kind === 'job'
      ? { kind: 'job', epochId: epoch.id, sequence: 0 }
      : { kind: 'log', position: { epoch, seen: null, window: null } };
  return { kind: 'cursor_expired', why: EXPIRED[why], oldestCursor: formatCursor(query, oldest) };
}

const FOREIGN_CURSOR: Refusal = {
  kind: 'invalid_field',
  violations: [{ field: 'cursor', description: 'it is not a cursor that this service gave for this very scope and these types' }],
};

/** What a client hands back; throws the refusal it gets for handing back something else. */
export function readCursor(query: Subscribe, text: string): Cursor {
  const cursor = parseCursor(query, text);
  if (cursor === null) throw new RefusalError(FOREIGN_CURSOR);
  return cursor;
}

/** Null for text that this service did not write for this very filter. */
function parseCursor(query: Subscribe, text: string): Cursor | null {
  const bytes = Buffer.from(text, 'base64url');
  // The decoder passes over what is not of its alphabet.
  if (bytes.toString('base64url') !== text) return null;
  const told = parseJson(bytes.toString());
  if (!Array.isArray(told)) return null;
  const [version, filter, epochId, ...rest]: unknown[] = told;
  if (version !== VERSION || filter !== filterDigest(query) || typeof epochId !== 'string' || !UUID.test(epochId)) return null;
  if (query.scope.kind === 'job') return parseJobCursor(epochId, rest);
  const position = parsePosition(epochId, rest);
  return position === null ? null : { kind: 'log', position };
}

function parseJobCursor(epochId: string, [sequence, ...rest]: readonly unknown[]): Cursor | null {
  return isCount(sequence) && rest.length === 0 ? { kind: 'job', epochId, sequence } : null;
}

function parsePosition(id: string, [number, seen, window, ...rest]: readonly unknown[]): LogPosition | null {
  if (!isCount(number) || !(seen === null || isSnapshot(seen)) || rest.length > 0) return null;
  if (window === null) return { epoch: { number, id }, seen, window: null };
  if (!Array.isArray(window)) return null;
  const [upTo, epoch, n, offset]: unknown[] = window;
  if (!isSnapshot(upTo) || !isCount(epoch) || epoch > MAX_INT4 || !isCount(n) || !isCount(offset)) return null;
  return { epoch: { number, id }, seen, window: { upTo, from: { epoch, n, offset } } };
}

function windowParts({ window }: LogPosition) {
  return window === null ? null : [window.upTo, window.from.epoch, window.from.n, window.from.offset];
}

/** Alike for those who follow the same, and for nobody else. */
export function filterText({ namespace, scope, types }: Subscribe): string {
  return JSON.stringify([namespace, scope, [...new Set(types)].sort()]);
}

/** Of each stream's filter, which every cursor of it carries. */
const digests = new WeakMap<Subscribe, string>();

function filterDigest(query: Subscribe): string {
  const known = digests.get(query);
  if (known !== undefined) return known;
  const digest = createHash('sha256').update(filterText(query)).digest().toString('base64url', 0, FILTER_BYTES);
  digests.set(query, digest);
  return digest;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

/** As strict as Postgres: what it would not read must not reach it. Open transactions rise from xmin to below xmax. */
function isSnapshot(value: unknown): value is string {
  if (typeof value !== 'string' || !SNAPSHOT.test(value)) return false;
  const [xmin = 0n, xmax = 0n, ...open] = value.split(/[:,]/).filter(Boolean).map(BigInt);
  const rising = [xmin, ...open].every((xid, index, all) => index === 0 || xid >= (all[index - 1] ?? 0n));
  return xmin > 0n && xmin <= xmax && xmax < MAX_XID8 && rising && open.every((xid) => xid < xmax);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
