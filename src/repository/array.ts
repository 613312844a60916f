/**
 * Array literals in Postgres' own notation. The driver's arrays need a type looked up for each and lose NULLs inside
 * text[]; a literal with a cast in the statement is one string whatever the type.
 */

type Scalar = string | number | bigint | boolean | null;

/** uuid[], integers, booleans, timestamps: whatever needs no quoting. */
export function plainArray(values: readonly Scalar[]): string {
  return `{${values.map((value) => (value === null ? 'NULL' : String(value))).join(',')}}`;
}

export function textArray(values: readonly (string | null)[]): string {
  return `{${values.map((value) => (value === null ? 'NULL' : `"${value.replace(/[\\"]/g, '\\$&')}"`)).join(',')}}`;
}

export function byteaArray(values: readonly (Uint8Array | null)[]): string {
  return `{${values.map((value) => (value === null ? 'NULL' : `"\\\\x${hex(value)}"`)).join(',')}}`;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
