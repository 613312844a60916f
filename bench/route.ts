import { setTimeout as pause } from 'node:timers/promises';
import type { Load, Place } from './messages.ts';

/** A way to the database, over gRPC or straight: each call of it has the size of the task's batch. */
export interface Route {
  enqueue(): Promise<void>;
  /** The lease tokens of what was claimed; none once the wait is over. */
  claim(waitMs: number): Promise<readonly string[]>;
  /** Throws unless every one is settled. */
  settle(leaseTokens: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

/** The queues that jobs are spread over. A share of fewer queues than there are shares is one of them. */
export function queuesOf({ queue, queues = 1, share }: Pick<Place, 'queue' | 'queues' | 'share'>): readonly string[] {
  const all = queues === 1 ? [queue] : Array.from({ length: queues }, (_, index) => `${queue}-${index}`);
  if (share === undefined) return all;
  const own = all.filter((_, index) => index % share.of === share.number);
  return own.length > 0 ? own : all.slice(share.number % all.length).slice(0, 1);
}

/** The keys of job after job: so many in turn, or none at all; told apart from those of other processes, which have turns of their own. */
export function turningKeys({
  fairness,
  concurrency,
}: Place['keys']): () => { readonly fairnessKey: string; readonly concurrencyKey: string } {
  let turn = 0;
  return () => {
    turn += 1;
    return {
      fairnessKey: fairness === 0 ? '' : `key-${turn % fairness}`,
      concurrencyKey: concurrency === 0 ? '' : `key-${process.pid}-${turn % concurrency}`,
    };
  };
}

/** What one turn of a caller did. No jobs: the backlog ran dry. */
export interface Turn {
  readonly jobs: number;
  readonly tookMs: number;
}

const WAIT_MS = 5_000;
/** Before a probe is enqueued: longer than its claim takes to park, and different each time, so that no timer keeps step. */
const PARKED_MS = { least: 10, most: 25 };

/** What a caller of this load does again and again. */
export function turnOf(load: Load, route: Route, batch: number): () => Promise<Turn> {
  switch (load) {
    case 'enqueue':
      return () => timed(() => route.enqueue().then(() => batch));
    case 'claim-settle':
      return () => timed(() => claimAndSettle(route, 0));
    case 'lifecycle':
      return () => timed(() => route.enqueue().then(() => claimAndSettle(route, WAIT_MS)));
    case 'probe':
      return () => probe(route);
  }
}

/** The same turns, begun so far apart. */
export function paced(turn: () => Promise<Turn>, everyMs: number): () => Promise<Turn> {
  if (everyMs === 0) return turn;
  return async () => {
    const startedAt = performance.now();
    const taken = await turn();
    await pause(Math.max(0, startedAt + everyMs - performance.now()));
    return taken;
  };
}

async function timed(work: () => Promise<number>): Promise<Turn> {
  const startedAt = performance.now();
  const jobs = await work();
  return { jobs, tookMs: performance.now() - startedAt };
}

async function claimAndSettle(route: Route, waitMs: number): Promise<number> {
  const tokens = await route.claim(waitMs);
  if (tokens.length > 0) await route.settle(tokens);
  return tokens.length;
}

/** From the sending of the enqueue until a claim that is parked has the job. */
async function probe(route: Route): Promise<Turn> {
  const claimed = route.claim(WAIT_MS).then((tokens) => ({ tokens, at: performance.now() }));
  await pause(PARKED_MS.least + Math.random() * (PARKED_MS.most - PARKED_MS.least));
  const startedAt = performance.now();
  const [{ tokens, at }] = await Promise.all([claimed, route.enqueue()]);
  await route.settle(tokens);
  return { jobs: tokens.length, tookMs: at - startedAt };
}
