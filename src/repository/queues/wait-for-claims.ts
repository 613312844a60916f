import { sql } from 'drizzle-orm';
import { statement } from '../statement.ts';

/** Had once the claims under way have ended; the next ones come after the transaction that runs it. */
export const waitForClaimsStatement = statement<never>('wait-for-claims', sql`lock table only stint.lease in share row exclusive mode`);
