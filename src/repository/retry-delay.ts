import { sql } from 'drizzle-orm';
import { MAX_BACKOFF_EXPONENT } from '../domain/retry.ts';

/**
 * Milliseconds until the next try: `retryDelayMs` of domain/retry.ts, column by column of a row `p` with `attempt`,
 * `initial_backoff_ms`, `multiplier`, `max_backoff_ms`, `jitter` and `jitter_factor`. A test holds the two equal.
 */
export const retryDelayMs = sql`(least(p.max_backoff_ms::float8,
    p.initial_backoff_ms::float8 * exp(least((p.attempt - 1) * ln(p.multiplier), ${MAX_BACKOFF_EXPONENT}::float8)))
  * case when p.jitter then p.jitter_factor else 1 end)`;
