/** Why the embedded Postgres refused to start. */
export type EmbeddedPostgresFailure =
  | 'binaries_missing'
  | 'binaries_unusable'
  | 'folder_unusable'
  | 'folder_foreign'
  | 'other_version'
  | 'in_use'
  | 'port_taken'
  | 'account_missing'
  | 'start_failed';

/** A refusal to start. Its message is one line: what is wrong, and how to mend it. */
export class EmbeddedPostgresError extends Error {
  readonly kind: EmbeddedPostgresFailure;

  constructor(kind: EmbeddedPostgresFailure, message: string, options?: ErrorOptions) {
    super(message.replaceAll(/\s*\n\s*/g, ' '), options);
    this.name = 'EmbeddedPostgresError';
    this.kind = kind;
  }
}

/** The `code` of a failed system call (`EACCES`, …), or null. */
export function systemCode(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}
