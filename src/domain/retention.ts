/** How long what is over is kept. */

const DAY_MS = 86_400_000;

/** Of a queue's jobs, behind their end. */
export const RETENTION_MS = { min: 60_000, max: 3_650 * DAY_MS, default: 7 * DAY_MS } as const;

/** Of the journal. Less than two days would take partitions away that are still made. */
export const JOURNAL_RETENTION_DAYS = { min: 2, max: 3_650, default: 7 } as const;

/** Of a worker's session that has lapsed: longer than any grace, so that no lease's end depends on it any more. */
export const SESSION_MEMORY_MS = DAY_MS;

/** How long a request is remembered at the least. */
export const REQUEST_MEMORY_MS = DAY_MS;
