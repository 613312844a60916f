import { type FieldViolation, RefusalError, type Result } from '../domain/error.ts';
import { LIMITS } from '../domain/limits.ts';
import type { Micros } from '../domain/job.ts';
import type { Duration } from '../../gen/google/protobuf/duration.ts';
import type { Timestamp } from '../../gen/google/protobuf/timestamp.ts';

/** Violations told of one request: a thousand bad items of a batch would not fit into a trailer, and one run mends many. */
const VIOLATIONS_KEPT = 20;

const NAME = new RegExp(`^[A-Za-z0-9._-]{1,${LIMITS.nameLength}}$`);

export const isName = (value: string): boolean => NAME.test(value);

/** Instants past this are refused: microseconds must stay below 2^53, and no job waits for a century. */
export const LATEST_INSTANT: Micros = Date.UTC(2200, 0, 1) * 1_000;

export interface Range {
  readonly min: number;
  readonly max: number;
}

/**
 * Checks the fields of one message and gathers **every** violation under the path that a client would write, such as
 * `jobs[3].retry.max_backoff`. Each check returns a value that is safe to go on with, also when it is refused: whoever made
 * the collector throws it all away then (see `decode`).
 */
export class Fields {
  readonly #violations: FieldViolation[];
  readonly #prefix: string;

  constructor(violations: FieldViolation[], prefix = '') {
    this.#violations = violations;
    this.#prefix = prefix;
  }

  /** The fields of a message inside this one. */
  within(field: string): Fields {
    return new Fields(this.#violations, `${this.#prefix}${field}.`);
  }

  refuse(field: string, description: string): void {
    if (this.#violations.length < VIOLATIONS_KEPT) this.#violations.push({ field: this.#prefix + field, description });
  }

  /** Throws what has been gathered: for a field without which reading on makes no sense. */
  giveUp(): never {
    throw new RefusalError({ kind: 'invalid_field', violations: this.#violations });
  }

  /** An option that this version does not serve is refused: read and ignored it would be a promise broken in silence. */
  unserved(field: string, isSet: boolean): void {
    if (isSet) this.refuseUnserved(field);
  }

  refuseUnserved(field: string): never {
    throw new RefusalError({ kind: 'unimplemented', what: this.#prefix + field });
  }

  name(field: string, value: string): string {
    if (!NAME.test(value)) this.refuse(field, `must match [A-Za-z0-9._-]{1,${LIMITS.nameLength}}`);
    return value;
  }

  /** A name, or empty where `fallback` stands in for it. */
  nameOr<T>(field: string, value: string, fallback: T): string | T {
    return value === '' ? fallback : this.name(field, value);
  }

  text(field: string, value: string, maxBytes: number): string {
    // Postgres text cannot hold U+0000.
    if (value.includes('\0')) this.refuse(field, 'must not hold the character U+0000');
    // No character takes more than three bytes a UTF-16 unit, so most texts need no count.
    if (value.length * 3 > maxBytes && Buffer.byteLength(value) > maxBytes) this.refuse(field, `must be at most ${maxBytes} bytes`);
    return value;
  }

  requiredText(field: string, value: string, maxBytes: number): string {
    if (value === '') this.refuse(field, 'is required');
    return this.text(field, value, maxBytes);
  }

  bytes(field: string, value: Uint8Array, maxBytes: number): Uint8Array {
    if (value.byteLength > maxBytes) this.refuse(field, `must be at most ${maxBytes} bytes`);
    return value;
  }

  /** Maps that share one bound, keys and values of all together. */
  textMaps(maps: Readonly<Record<string, Readonly<Record<string, string>>>>, maxBytes: number): void {
    let bytes = 0;
    for (const [field, map] of Object.entries(maps)) {
      for (const [key, value] of Object.entries(map)) {
        if (key.includes('\0') || value.includes('\0')) this.refuse(field, 'must not hold the character U+0000');
        bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
      }
    }
    const [largest] = Object.keys(maps);
    if (bytes > maxBytes && largest !== undefined) {
      this.refuse(largest, `${Object.keys(maps).join(' and ')} together must be at most ${maxBytes} bytes`);
    }
  }

  /** A whole number; the wire knows no other for integer fields. */
  integer(field: string, value: number, { min, max }: Range): number {
    if (value < min || value > max) this.refuse(field, `must be from ${min} to ${max}`);
    return value;
  }

  double(field: string, value: number, { min, max }: Range): number {
    if (!(value >= min && value <= max)) this.refuse(field, `must be from ${min} to ${max}`);
    return value;
  }

  /** An int64 that counts something: from 0, and safe as a number. */
  count(field: string, value: bigint): number {
    if (value >= 0n && value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
    this.refuse(field, `must be from 0 to ${Number.MAX_SAFE_INTEGER}`);
    return 0;
  }

  /** Milliseconds, rounded up: what is more than nothing must not become nothing. Null where unset. */
  durationMs(field: string, value: Duration | undefined, { min, max }: Range): number | null {
    if (value === undefined) return null;
    const malformed =
      Math.abs(value.nanos) > 999_999_999 || (value.seconds > 0n && value.nanos < 0) || (value.seconds < 0n && value.nanos > 0);
    const durationMs = Math.ceil(Number(value.seconds) * 1_000 + value.nanos / 1_000_000);
    if (malformed) this.refuse(field, 'is no valid duration: nanos must have the sign of seconds and stay below a second');
    else if (durationMs < min || durationMs > max) this.refuse(field, `must be from ${min / 1_000} s to ${max / 1_000} s`);
    else return durationMs;
    return min;
  }

  /** Whole microseconds, cut as Postgres would store them. Null where unset. */
  instant(field: string, value: Timestamp | undefined): Micros | null {
    if (value === undefined) return null;
    const micros = Number(value.seconds) * 1_000_000 + Math.floor(value.nanos / 1_000);
    if (value.nanos < 0 || value.nanos > 999_999_999) this.refuse(field, 'is no valid timestamp: nanos must be from 0 to 999999999');
    else if (micros < 0 || micros >= LATEST_INSTANT) this.refuse(field, 'must lie in the years 1970 to 2199');
    else return micros;
    return 0;
  }

  /** What a number of an enum stands for. A number that this version does not know is refused, not taken for the default. */
  choice<T>(field: string, value: number, meanings: Readonly<Record<number, T>>, fallback: T): T {
    const meaning = meanings[value];
    if (meaning === undefined) this.refuse(field, value === 0 ? 'is required' : `${value} is no value that this service knows`);
    return meaning ?? fallback;
  }

  /** Every item of a list that has bounds, read by `read` under its own path. */
  list<Item, Read>(field: string, items: readonly Item[], range: Range, read: (item: Item, path: string) => Read): Read[] {
    if (items.length < range.min || items.length > range.max) {
      this.refuse(field, `must have from ${range.min} to ${range.max} items`);
      return [];
    }
    return items.map((item, index) => read(item, `${field}[${index}]`));
  }

  /** Refuses each value that a list has more than once, at its second place. */
  distinct(field: string, values: readonly string[]): void {
    const seen = new Set<string>();
    for (const [index, value] of values.entries()) {
      if (seen.has(value)) this.refuse(`${field}[${index}]`, 'is there twice');
      seen.add(value);
    }
  }
}

/** Reads a whole request, or throws the refusal that names everything wrong with it. */
export function decode<Read>(read: (fields: Fields) => Read): Read {
  const violations: FieldViolation[] = [];
  const value = read(new Fields(violations));
  if (violations.length > 0) throw new RefusalError({ kind: 'invalid_field', violations });
  return value;
}

/** Reads one item of a batch, whose neighbours must not suffer for it. `path` is such as `jobs[3]`. */
export function decodeItem<Read>(path: string, read: (fields: Fields) => Read): Result<Read> {
  const violations: FieldViolation[] = [];
  try {
    const value = read(new Fields(violations, `${path}.`));
    return violations.length === 0 ? { ok: true, value } : { ok: false, refusal: { kind: 'invalid_field', violations } };
  } catch (error) {
    if (error instanceof RefusalError) return { ok: false, refusal: error.refusal };
    throw error;
  }
}
