/** What a session of Postgres is told before its statements. */
import type { Row } from './row.ts';

/** Of a query's deadline, what the server gets: a slow query ends there first, and is not taken for a dead connection. */
const STATEMENT_SHARE = 2 / 3;
/** One locked row must not stall the batch it is in. */
export const LOCK_TIMEOUT_MS = 250;

/** Plans by the shape of the SQL; these only keep a generic plan from flipping on empty or freshly vacuumed tables. */
export const HOT_SETTINGS = {
  plan_cache_mode: 'force_generic_plan',
  enable_seqscan: 'off',
  enable_bitmapscan: 'off',
  enable_mergejoin: 'off',
  enable_hashjoin: 'on',
  jit: 'off',
};

/**
 * Of everything else. A plan that was made while tables were small, and is kept, must serve when they have grown, until they are analyzed:
 * what read a small table from end to end reads a large one so, for each row that it is joined to.
 */
export const PLAIN_SETTINGS = { enable_seqscan: 'off', jit: 'off' };

/**
 * Whose the session is that a statement meets. Its `own` connection's: the settings are told when it opens, and plans are kept. One that a transaction
 * pooler `lends` for a transaction: the settings go with each, and no plan is kept. `lends_bare` is that for what does not run in a transaction,
 * such as a vacuum: it goes by the settings of the server.
 */
export type Session = 'own' | 'lends' | 'lends_bare';

export type SessionSettings = Readonly<Record<string, string>>;

/** Of a session whose queries have so long, in milliseconds. */
export function sessionSettings(settings: 'hot' | 'plain', queryDeadlineMs: number): SessionSettings {
  return {
    TimeZone: 'UTC',
    statement_timeout: String(Math.floor(queryDeadlineMs * STATEMENT_SHARE)),
    lock_timeout: String(LOCK_TIMEOUT_MS),
    idle_in_transaction_session_timeout: String(queryDeadlineMs),
    ...(settings === 'hot' ? HOT_SETTINGS : PLAIN_SETTINGS),
  };
}

/** What a session that is lent is told at the begin of a transaction, and asked. None of these takes a snapshot: a transaction may still choose its isolation. */
export function preambleOf(settings: SessionSettings): string {
  return [...Object.entries(settings).map(([name, value]) => `set local ${name} = '${value}'`), 'show in_hot_standby'].join('; ');
}

/** Of several commands the driver gives the answer of each; the last is the one that has rows. */
export function parseStandby(answers: readonly unknown[]): boolean {
  const [row] = answers.at(-1) as readonly Row[];
  return row?.['in_hot_standby'] !== 'off';
}
