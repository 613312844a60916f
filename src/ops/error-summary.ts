/** An error as it may be logged. */
export interface ErrorSummary {
  readonly type: string;
  readonly message: string;
  /** An SQLSTATE, a system call's code or the like. */
  readonly code?: string;
  /** The frames alone. */
  readonly stack?: string;
  readonly cause?: ErrorSummary;
}

/** A chain of causes is followed this far; a circle of causes ends here too. */
const CAUSES_FOLLOWED = 5;

const databaseMessage = 'a database statement failed';

/**
 * What of an error may be written down. Errors of the database and of its driver hold the statement's parameters, that
 * is, payloads and tokens, in their message, detail and stack: of those only the code and the frames are kept.
 */
export function summarizeError(error: unknown, depth = 0): ErrorSummary {
  if (!(error instanceof Error)) return { type: typeof error, message: 'something that is not an error was thrown' };
  const code = codeOf(error);
  const stack = framesOf(error);
  return {
    type: error.name,
    message: isOfDatabase(error) ? databaseMessage : error.message,
    ...(code === null ? {} : { code }),
    ...(stack === '' ? {} : { stack }),
    ...(error.cause === undefined || depth >= CAUSES_FOLLOWED ? {} : { cause: summarizeError(error.cause, depth + 1) }),
  };
}

/** What follows the message: that one may hold lines which look like frames, and a payload in them. */
function framesOf({ stack = '', message }: Error): string {
  const start = stack.indexOf(message);
  const lines = start < 0 ? [] : stack.slice(start + message.length).split('\n');
  return lines.filter((line) => /^\s+at /.test(line)).join('\n');
}

/** The `code` of an error, whoever set it. */
export function codeOf(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}

/** An SQLSTATE says that the database spoke; Drizzle wraps what it said under a name of its own. */
function isOfDatabase(error: Error): boolean {
  return /^(PostgresError|DrizzleQueryError|DrizzleError)$/.test(error.constructor.name) || isSqlState(codeOf(error)) || 'query' in error;
}

function isSqlState(code: string | null): boolean {
  return code !== null && /^[0-9A-Z]{5}$/.test(code) && /\d/.test(code);
}
