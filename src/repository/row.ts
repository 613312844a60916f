/** Rows as the driver gives them, read column by column: what is not of its type throws, nothing is cast. */
import type { Failure, JobId, Micros } from '../domain/job.ts';
import { parseJobId } from '../domain/job.ts';

export type Row = Readonly<Record<string, unknown>>;

export function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== 'string') throw unreadable(column, 'text');
  return value;
}

export function textOrNull(row: Row, column: string): string | null {
  return row[column] === null ? null : text(row, column);
}

export function int(row: Row, column: string): number {
  const value = row[column];
  const number = typeof value === 'string' ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isSafeInteger(number)) throw unreadable(column, 'an integer');
  return number;
}

export function intOrNull(row: Row, column: string): number | null {
  return row[column] === null ? null : int(row, column);
}

export function float(row: Row, column: string): number {
  const value = row[column];
  const number = typeof value === 'string' ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isFinite(number)) throw unreadable(column, 'a number');
  return number;
}

export function floatOrNull(row: Row, column: string): number | null {
  return row[column] === null ? null : float(row, column);
}

export function int8(row: Row, column: string): bigint {
  const value = row[column];
  if (typeof value !== 'string' && typeof value !== 'number') throw unreadable(column, 'a bigint');
  return BigInt(value);
}

export function bool(row: Row, column: string): boolean {
  const value = row[column];
  if (typeof value !== 'boolean') throw unreadable(column, 'a boolean');
  return value;
}

export function bytes(row: Row, column: string): Uint8Array {
  const value = row[column];
  if (!(value instanceof Uint8Array)) throw unreadable(column, 'bytes');
  return value;
}

export function bytesOrNull(row: Row, column: string): Uint8Array | null {
  return row[column] === null ? null : bytes(row, column);
}

export function jobId(row: Row, column: string): JobId {
  const id = parseJobId(text(row, column));
  if (id === null) throw unreadable(column, 'a job id');
  return id;
}

/** `2026-11-20 23:05:08.123456+00`, as a session in UTC writes it, to microseconds since 1970. */
export function instant(row: Row, column: string): Micros {
  return parseInstant(text(row, column), column);
}

export function instantOrNull(row: Row, column: string): Micros | null {
  return row[column] === null ? null : instant(row, column);
}

const INSTANT = /^(\d{4,6})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?\+00$/;

/** The rows of one answer tell the same few instants again and again. */
const lately = new Map<string, Micros>();
const REMEMBERED = 64;

function parseInstant(value: string, column: string): Micros {
  const known = lately.get(value);
  if (known !== undefined) return known;
  const at = readInstant(value, column);
  if (lately.size >= REMEMBERED) lately.clear();
  lately.set(value, at);
  return at;
}

function readInstant(value: string, column: string): Micros {
  const match = INSTANT.exec(value);
  if (match === null) throw unreadable(column, 'an instant in UTC');
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number);
  const milliseconds = Date.UTC(year ?? 0, (month ?? 1) - 1, day, hour, minute, second);
  return milliseconds * 1_000 + Number((match[7] ?? '').padEnd(6, '0'));
}

/** The inverse: a literal for a timestamptz parameter, exact to the microsecond. */
export function instantLiteral(at: Micros): string {
  const seconds = Math.floor(at / 1_000_000);
  const fraction = String(at - seconds * 1_000_000).padStart(6, '0');
  return new Date(seconds * 1_000).toISOString().replace(/\.\d+Z$/, `.${fraction}Z`);
}

export function stringMap(row: Row, column: string): Readonly<Record<string, string>> {
  const value = row[column];
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw unreadable(column, 'a map');
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, String(entry)]));
}

const NO_ENTRIES: Readonly<Record<string, string>> = Object.freeze({});

/** Null is a map without entries. */
export function stringMapOrEmpty(row: Row, column: string): Readonly<Record<string, string>> {
  return row[column] === null ? NO_ENTRIES : stringMap(row, column);
}

export function intMap(row: Row, column: string): Readonly<Record<string, number>> {
  const value = row[column];
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw unreadable(column, 'a map');
  const entries: Row = { ...value };
  return Object.fromEntries(Object.keys(entries).map((key) => [key, int(entries, key)]));
}

/** A failure as jsonb holds it: bytes in base64, empty fields left out. */
export interface FailureJson {
  readonly code: string;
  readonly message?: string;
  readonly details?: string;
  readonly terminal?: true;
}

export function failureJson(failure: Failure): FailureJson {
  return {
    code: failure.code,
    ...(failure.message === '' ? {} : { message: failure.message }),
    ...(failure.details.byteLength === 0 ? {} : { details: Buffer.from(failure.details).toString('base64') }),
    ...(failure.kind === 'TERMINAL' ? { terminal: true as const } : {}),
  };
}

export function parseFailure(value: unknown): Failure {
  if (typeof value !== 'object' || value === null) throw unreadable('failure', 'a failure');
  const fields = new Map(Object.entries(value));
  return {
    code: String(fields.get('code') ?? ''),
    message: String(fields.get('message') ?? ''),
    details: Buffer.from(String(fields.get('details') ?? ''), 'base64'),
    kind: fields.get('terminal') === true ? 'TERMINAL' : 'RETRYABLE',
  };
}

export function failureOrNull(row: Row, column: string): Failure | null {
  return row[column] === null ? null : parseFailure(row[column]);
}

/** The items of an array column selected `::text`, for types whose text needs no quoting. Null column: null. */
export function plainItems(row: Row, column: string): readonly string[] | null {
  const value = textOrNull(row, column);
  if (value === null) return null;
  return value === '{}' ? [] : value.slice(1, -1).split(',');
}

function unreadable(column: string, expected: string): Error {
  return new Error(`column ${column} is not ${expected}`);
}
