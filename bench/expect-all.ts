/** Longer than any call takes under load, shorter than anyone watches a bench that hangs. */
export const CALL_LIMIT = { deadlineMs: 30_000 };

/** Throws what was answered for the first item that was refused. */
export function expectAll<Result>(results: readonly Result[], holds: (result: Result) => boolean): void {
  const bad = results.find((result) => !holds(result));
  if (bad !== undefined)
    throw new Error(
      `a call was refused: ${JSON.stringify(bad, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))}`,
    );
}
