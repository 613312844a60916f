import { randomUUID } from 'node:crypto';
import { createEngine, type EngineParts, type RunningEngine } from '../src/engine/create-engine.ts';
import type { Claim, Claimed } from '../src/engine/engine.ts';
import { QueueDirectory } from '../src/engine/queue-directory.ts';

/** As many commits of each operation at once as the service's pool for the request path has connections. */
const LANES = 12;

/**
 * The engine without group commit: each item is a commit of its own, and so is each claim. Commits run beside each other, so
 * that what Postgres does to flush several at once is on their side.
 */
export function ungroupedEngine(parts: EngineParts): RunningEngine {
  const engine = createEngine({ ...parts, commitShape: { maxItems: 1, lanes: LANES } });
  const directory = new QueueDirectory(parts.repository);
  const claim = async (claim: Claim, signal: AbortSignal): Promise<Claimed> => {
    const jobs = await claimAlone(parts, directory, claim);
    return jobs.length > 0 ? { jobs, decision: 'ASSIGNED' } : engine.workers.claim(claim, signal);
  };
  return { ...engine, workers: { ...engine.workers, claim } };
}

async function claimAlone({ repository, log }: EngineParts, directory: QueueDirectory, claim: Claim): Promise<Claimed['jobs']> {
  const found = await directory.find(claim.queues.map((name) => ({ namespace: claim.namespace, name })));
  const queues = found.filter((queue) => queue !== null);
  if (queues.length === 0) return [];
  const { workerId, maxJobs, leaseDurationMs, startOnClaim, requestId } = claim;
  const slot = { workerId, maxJobs, leaseDurationMs, startOnClaim, requestId, secret: randomUUID() };
  const {
    jobs: [jobs = []],
  } = await repository.claim(queues, [slot]);
  if (jobs.length > 0) log.committed();
  return jobs;
}
