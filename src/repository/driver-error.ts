import postgres from 'postgres';
import { StoreError } from '../engine/ports/store-error.ts';

/** The database has no epoch for the server that answered: it was restored or promoted. */
const NO_EPOCH = 'ST001';

/** Of a row that no partition takes, where no constraint is named. */
const CHECK_VIOLATION = '23514';

const DUPLICATE_KEY = '23505';

/** The statement names queues by ids of another history of the database. */
const OTHER_EPOCH = 'ST002';

/** What the driver threw, in the engine's words. SQLSTATE classes: PostgreSQL manual, appendix A. */
export function storeError(cause: unknown): StoreError {
  const code = sqlState(cause);
  if (code === null) return connectionError(cause);
  if (code === OTHER_EPOCH) return new StoreError('other_history', 'the database has another history than was remembered', { cause });
  if (code === '55P03') return new StoreError('contended', 'a row stayed locked', { cause });
  if (code.startsWith('40')) return new StoreError('conflict', 'the statement lost a race', { cause });
  if (code.startsWith('22') || code.startsWith('23')) return new StoreError('bad_item', 'the database refused a value', { cause });
  if (isTransient(code)) return new StoreError('unavailable', 'the database is not ready', { cause });
  return new StoreError('broken', `the database refused a statement (${code})`, { cause });
}

/** The driver's own codes, and Node's: all of them tell of a connection, but for these two, which are defects of ours. */
const MISUSES = ['UNSAFE_TRANSACTION', 'MAX_PARAMETERS_EXCEEDED'];

function connectionError(cause: unknown): StoreError {
  const misused = cause instanceof Error && 'code' in cause && MISUSES.some((code) => code === cause.code);
  if (misused) return new StoreError('broken', 'the driver was used wrongly', { cause });
  return new StoreError('unavailable', 'the connection to the database failed', { cause });
}

/**
 * Connection failures (08), a login that is refused (28), a database that is not there while it is exchanged (3D), resources (53),
 * operator intervention (57), I/O (58), a standby (25006, 55000 while it recovers).
 */
function isTransient(code: string): boolean {
  return ['08', '28', '3D', '53', '57', '58'].some((prefix) => code.startsWith(prefix)) || code === '25006' || code === '55000';
}

/** Whether the connection itself is gone or of no use: the server refused or ended it, is going down, or never answered. */
export function isConnectionLoss(cause: unknown): boolean {
  if (!(cause instanceof postgres.PostgresError) || cause.severity === 'FATAL' || cause.severity === 'PANIC') return true;
  return cause.code.startsWith('08') || cause.code.startsWith('57P') || cause.code === '25006' || cause.code === '55000';
}

/** Whether the server that answered lacks what each statement needs: its epoch, or partitions for today. */
export function isUnprepared(cause: unknown): boolean {
  const code = sqlState(cause);
  if (code !== CHECK_VIOLATION) return code === NO_EPOCH;
  return cause instanceof Error && !('constraint_name' in cause && cause.constraint_name !== undefined);
}

/** Whether a statement was undone because another one had written the same key. */
export function isDuplicateKey(error: unknown): boolean {
  return error instanceof StoreError && sqlState(error.cause) === DUPLICATE_KEY;
}

/** Five characters from the server; null where the server did not answer, also where Node's own code is as long: `EPIPE`. */
function sqlState(cause: unknown): string | null {
  return cause instanceof postgres.PostgresError ? cause.code : null;
}
