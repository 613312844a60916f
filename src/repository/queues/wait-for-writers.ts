import { sql } from 'drizzle-orm';
import { statement } from '../statement.ts';

/** All that moves a token writes the journal: what began before has ended then, and what comes later sees what is written here. */
export const waitForWritersStatement = statement<never>('wait-for-writers', sql`lock table only stint.journal in share row exclusive mode`);
