/** The database's clock decides. Production passes null and each statement reads it; a test passes the time it plays. */
export interface Clock {
  now(): Date | null;
}

export const DATABASE_CLOCK: Clock = { now: () => null };
