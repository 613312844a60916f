import type { LeaseToken } from '../domain/lease.ts';
import type { JobRecord } from './job-record.ts';

/** Past these the oldest is forgotten, and read again. */
const MAX_REMEMBERED = 20_000;
/** Of the texts that come with a job; what is larger is read again. All together are at most some fifty megabytes. */
const MAX_CHARACTERS = 1_024;

/** What of a job never moves, and how many tries it was enqueued with: null where its queue says that. */
export interface KnownRecord {
  readonly record: Omit<JobRecord, 'priority' | 'maxAttempts'>;
  readonly maxAttempts: number | null;
}

/**
 * Records of jobs that this replica gave to workers, for who ends them: while a lease is held its record does not change, so whoever
 * remembers one need not read it; what moves stands with the token. By the secret of the lease, for the id may be given to another job once
 * this one is pruned, or in another history of the database.
 */
export class KnownRecords {
  readonly #known = new Map<string, KnownRecord>();

  add({ secret }: Pick<LeaseToken, 'secret'>, known: KnownRecord): void {
    if (charactersOf(known) > MAX_CHARACTERS) return;
    const [oldest] = this.#known.keys();
    if (this.#known.size >= MAX_REMEMBERED && oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(keyOf({ secret, jobId: known.record.jobId }), known);
  }

  get(token: Pick<LeaseToken, 'secret' | 'jobId'>): KnownRecord | null {
    return this.#known.get(keyOf(token)) ?? null;
  }

  /** Its lease has ended. */
  forget(token: Pick<LeaseToken, 'secret' | 'jobId'>): void {
    this.#known.delete(keyOf(token));
  }
}

/** One secret is that of all that a claim was given. */
const keyOf = ({ secret, jobId }: Pick<LeaseToken, 'secret' | 'jobId'>) => jobId + secret;

function charactersOf({ record }: KnownRecord): number {
  let characters = record.type.length + record.contentType.length + record.idempotencyKey.length + record.fairnessKey.length;
  for (const map of [record.headers, record.labels]) for (const key in map) characters += key.length + (map[key]?.length ?? 0);
  return characters;
}
