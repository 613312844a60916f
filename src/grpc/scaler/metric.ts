import type { ScaleBy } from '../../domain/scaling.ts';

/**
 * In small letters, for Kubernetes asks for it so whatever it was told; without the queue's name, for KEDA puts the place of the trigger
 * before it.
 */
export const METRIC_NAMES = { backlog: 'stint-backlog', oldest_age: 'stint-oldest-age-seconds' } as const satisfies Record<ScaleBy, string>;

/** For the fields of before there were floats: rounded up, for what is little must not become nothing. */
export function rounded(value: number): bigint {
  return BigInt(Math.ceil(value));
}
