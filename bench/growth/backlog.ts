import postgres from 'postgres';
import { NO_KEYS } from '../cells.ts';
import { grpcRoute } from '../grpc-route.ts';
import { quantile } from '../statistics.ts';
import { explainClaim } from './explain-claim.ts';
import type { FigureName } from './series.ts';

export interface BacklogWish {
  /** Of a service over the database of the backlog. */
  readonly target: string;
  readonly url: string;
  readonly queue: string;
  /** Jobs of a claim. */
  readonly jobs: number;
  /** How long claims are measured, after as long a warm-up; at least `LEAST_CLAIMS` are. */
  readonly seconds: number;
  readonly signal: AbortSignal;
}

export type BacklogFigures = Readonly<
  Record<Extract<FigureName, 'p50Ms' | 'p99Ms' | 'statementMs' | 'buffers' | 'buffersBehindClaims'>, number>
>;

const LEAST_CLAIMS = 10;

/**
 * What the statement of a claim takes of a backlog that is vacuumed; then the times of `Claim`, one after the other with nothing beside
 * them; and what the statement takes behind those, where entries of claimed jobs may lie dead that no vacuum has come by for.
 */
export async function measureBacklog(wish: BacklogWish): Promise<BacklogFigures> {
  const { url, queue, jobs } = wish;
  await vacuum(url);
  const clean = await explainClaim(url, queue, jobs);
  const sorted = (await timeClaims(wish)).toSorted((a, b) => a - b);
  const behind = await explainClaim(url, queue, jobs);
  return { p50Ms: quantile(sorted, 0.5), p99Ms: quantile(sorted, 0.99), ...clean, buffersBehindClaims: behind.buffers };
}

/** Of the indexes too, which Postgres passes over where little is dead. */
async function vacuum(url: string): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    await sql`vacuum (index_cleanup on) stint.ready, stint.lease`;
  } finally {
    await sql.end({ timeout: 5 });
  }
}

/** Each claim is full, or this throws. What was claimed is settled, and as many jobs are enqueued: the backlog stays as deep as it is. */
async function timeClaims({ target, queue, jobs, seconds, signal }: BacklogWish): Promise<readonly number[]> {
  const route = await grpcRoute({ target, queue, batch: jobs, keys: NO_KEYS });
  const tookMs: number[] = [];
  const warmAt = performance.now() + seconds * 1_000;
  try {
    while (tookMs.length < LEAST_CLAIMS || performance.now() < warmAt + seconds * 1_000) {
      signal.throwIfAborted();
      const startedAt = performance.now();
      const tokens = await route.claim(0);
      if (startedAt >= warmAt) tookMs.push(performance.now() - startedAt);
      if (tokens.length !== jobs) throw new Error(`a claim of ${jobs} got ${tokens.length}, whatever waited`);
      await route.settle(tokens);
      await route.enqueue();
    }
  } finally {
    await route.close();
  }
  return tookMs;
}
