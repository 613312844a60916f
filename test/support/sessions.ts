/** Sessions as the storage knows them: opened, with leases tied to them. */
import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import type { ClaimedJob, Repository } from '../../src/engine/ports/repository.ts';
import type { HeartbeatOutcome } from '../../src/engine/ports/leases.ts';
import type { SessionBeaten } from '../../src/engine/ports/work.ts';
import { tokenOf } from '../engine/stage.ts';

export const SESSION_MS = 30_000;

export async function openSession({ beatSessions }: Pick<Repository, 'beatSessions'>, durationMs = SESSION_MS): Promise<string> {
  const sessionId = randomUUID();
  expect(await beatSessions([{ sessionId, opensForMs: durationMs, items: [] }])).toEqual([[]]);
  return sessionId;
}

/** The first beat that lists them. */
export function tie(repository: Pick<Repository, 'heartbeatMany'>, session: string, ...held: readonly ClaimedJob[]) {
  return repository.heartbeatMany(held.map((one): Parameters<Repository['heartbeatMany']>[0][number] => ({ ...listed(one), session })));
}

/** What one beat of one session says. */
export async function beatOf(
  { beatSessions }: Pick<Repository, 'beatSessions'>,
  sessionId: string,
  ...held: readonly ClaimedJob[]
): Promise<SessionBeaten> {
  const [beaten = null] = await beatSessions([{ sessionId, opensForMs: null, items: held.map(listed) }]);
  return beaten;
}

export function listed(held: ClaimedJob) {
  return { token: tokenOf(held), checkpoint: null };
}

export function renewedUntil(expiresAt: number, ttlMs = SESSION_MS): HeartbeatOutcome {
  return { kind: 'renewed', expiresAt, ttlMs, cancelDeadline: null, draining: false };
}
