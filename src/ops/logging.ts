import { type DestinationStream, destination, type Logger, pino } from 'pino';
import { summarizeError } from './error-summary.ts';

export type { Logger } from 'pino';

/**
 * A second net under the rule that payloads and tokens are not logged at all: whatever has one of these names is
 * blotted out, at the top of an entry and one level below.
 */
const secretNames = [
  ...['payload', 'result', 'checkpoint', 'data', 'headers', 'metadata', 'authorization', 'password', 'secret'],
  ...['token', 'leaseToken', 'lease_token', 'pageToken', 'page_token', 'url', 'databaseUrl', 'database_url', 'DATABASE_URL'],
];

export interface LoggingOptions {
  readonly level: string;
  /** Default: standard error, so that standard output keeps what is meant for people. */
  readonly destination?: DestinationStream;
}

/** JSON lines; errors under `err` go through `summarizeError`, also where they come without a message of their own. */
export function createLogger(options: LoggingOptions): Logger {
  const stream = options.destination ?? destination({ fd: 2, sync: true });
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: secretNames.flatMap((name) => [name, `*.${name}`]),
      serializers: { err: summarizeError, error: summarizeError },
      hooks: {
        logMethod(args, method) {
          const [entry, message, ...rest] = args;
          const error: unknown = isBearer(entry) ? entry.err : entry;
          // Left to itself pino makes the error's own message the text of the entry.
          if (!(error instanceof Error) || typeof message === 'string') return method.apply(this, args);
          const fields = isBearer(entry) ? entry : { err: error };
          return method.apply(this, [fields, summarizeError(error).message, ...rest]);
        },
      },
    },
    stream,
  );
}

function isBearer(entry: unknown): entry is { readonly err: unknown } {
  return typeof entry === 'object' && entry !== null && !(entry instanceof Error) && 'err' in entry;
}
