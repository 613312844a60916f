import type { LeaseToken } from '../../domain/lease.ts';

/** What a lease says of its attempt. */
export interface HeldAttempt {
  readonly namespace: string;
  readonly queue: string;
  readonly attempt: number;
  readonly workerId: string;
}

export interface HeldAttempts {
  /** Positional: of what is held under each token; null where nothing is. */
  heldAttempts(tokens: readonly LeaseToken[]): Promise<readonly (HeldAttempt | null)[]>;
}
