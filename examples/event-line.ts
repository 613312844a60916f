import type { Event } from '../gen/stint/v1/event.ts';
import { JobState } from '../gen/stint/v1/job.ts';

const stateNames = new Map<number, string>(Object.entries(JobState).map(([name, value]) => [value, name]));

/** An event as one line of JSON: numbers of 64 bits as strings, bytes in base64, times as ISO 8601, what belongs to its type in `detail`. */
export function eventLine({ state, detail, ...envelope }: Event): string {
  const own = detail === undefined ? undefined : Object.entries(detail).find(([name]) => name === detail.$case)?.[1];
  return JSON.stringify(plain({ ...envelope, state: stateNames.get(state) ?? state, detail: own }));
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  if ('seconds' in value && 'nanos' in value) return isoTime(Number(value.seconds), Number(value.nanos));
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
}

/** To the microsecond, as the database tells it. */
function isoTime(seconds: number, nanos: number): string {
  const micros = String(Math.floor(nanos / 1_000)).padStart(6, '0');
  return `${new Date(seconds * 1_000).toISOString().slice(0, -'.000Z'.length)}.${micros}Z`;
}
