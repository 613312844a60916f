import { setTimeout as pause } from 'node:timers/promises';
import postgres from 'postgres';
import { status } from '@grpc/grpc-js';
import { statusOf } from '../../examples/call.ts';
import { FailureKind } from '../../gen/stint/v1/retry.ts';
import { SettlementOutcome, type SettleRequest } from '../../gen/stint/v1/worker_service.ts';
import { micros, seconds, type Stint } from '../contract/stint.ts';
import { enter } from '../support/sql-door.ts';

/** A fact by name, `JOB:TYPE`, of a call that was answered: when it was sent and when its answer came. */
export interface Done {
  readonly fact: string;
  readonly sent: number;
  readonly answered: number;
}

export interface Storm {
  readonly stints: readonly Stint[];
  readonly namespace: string;
  readonly queues: readonly string[];
  readonly random: () => number;
  readonly going: () => boolean;
  readonly done: Done[];
}

/** Jobs of this type are given back and failed until the storm is over, so that they have long histories. */
export const LONG = 'long';

const LEASE_S = 2;
const PASSING: readonly (number | null)[] = [status.UNAVAILABLE, status.DEADLINE_EXCEEDED, status.CANCELLED];

function pick<Item>({ random }: Pick<Storm, 'random'>, items: readonly Item[]): Item {
  const item = items[Math.floor(random() * items.length)];
  if (item === undefined) throw new Error('nothing to pick from');
  return item;
}

/** Transactions of an application, of some enqueues each, held open for a while, and ended either way. */
export async function enqueueInTransactions(storm: Storm, url: string): Promise<void> {
  const { random, namespace, done, going } = storm;
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  while (going()) {
    await sql`begin`;
    const inside: { readonly fact: string; readonly sent: number }[] = [];
    for (let count = Math.ceil(random() * 6); count > 0; count -= 1) {
      const sent = performance.now();
      const { job_id: jobId } = await enter(sql, { namespace, queue: pick(storm, storm.queues), type: 'door' });
      inside.push({ fact: `${jobId}:enqueued`, sent });
      await pause(random() < 0.1 ? random() * 500 : random() * 80);
    }
    if (random() < 0.25) await sql`rollback`;
    else {
      await sql`commit`;
      const answered = performance.now();
      done.push(...inside.map((one) => ({ ...one, answered })));
    }
  }
  await sql.end({ timeout: 5 });
}

/** Enqueues, claims and settles on any replica; what is answered counts, what is not may have been done or not. */
export async function produceAndWork(storm: Storm): Promise<void> {
  while (storm.going()) {
    await passing(() => enqueueSome(storm));
    await passing(() => workOnSome(storm));
    await pause(storm.random() * 100);
  }
}

/** What is over when the replica it was asked of goes away. */
export async function passing(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (!PASSING.includes(statusOf(error))) throw error;
    await pause(20);
    return false;
  }
}

async function enqueueSome(storm: Storm): Promise<void> {
  const jobs = Array.from({ length: Math.ceil(storm.random() * 6) }, () => ({ queue: pick(storm, storm.queues), type: 'call' }));
  const sent = performance.now();
  const { results } = await pick(storm, storm.stints).enqueueBatch({ namespace: storm.namespace, jobs });
  const answered = performance.now();
  for (const { result } of results) if (result?.$case === 'job') storm.done.push({ fact: `${result.job.jobId}:enqueued`, sent, answered });
}

export async function workOnSome(storm: Storm, most = 20): Promise<void> {
  const { namespace, queues, random } = storm;
  const claim = {
    namespace,
    workerId: 'w',
    queues: [...queues],
    maxJobs: 1 + Math.floor(random() * most),
    leaseDuration: seconds(LEASE_S),
  };
  const { jobs } = await pick(storm, storm.stints).claim(claim);
  if (jobs.length === 0) return;
  const settlements = jobs.map(({ job, lease }) => settlementOf(storm, lease?.leaseToken ?? '', job?.type === LONG));
  const sent = performance.now();
  const { results } = await pick(storm, storm.stints).settle({ settlements });
  const answered = performance.now();
  results.forEach(({ result }, index) => {
    const applied = result?.$case === 'ack' && result.ack.outcome === SettlementOutcome.APPLIED;
    if (applied) storm.done.push({ fact: `${jobs[index]?.job?.jobId}:succeeded`, sent, answered });
  });
}

function settlementOf({ random, going }: Storm, leaseToken: string, isLong: boolean): SettleRequest['settlements'][number] {
  const kind = going() ? random() : 1;
  if (going() && (isLong || kind < 0.1)) return { leaseToken, action: { $case: 'release', release: { delay: undefined } } };
  if (kind < 0.2) {
    const failure = { code: 'later', message: '', details: '', kind: FailureKind.RETRYABLE };
    return { leaseToken, action: { $case: 'fail', fail: { failure, retryAfter: seconds(0.01), throttleUntil: undefined } } };
  }
  return { leaseToken, action: { $case: 'ack', ack: { result: Buffer.alloc(0), contentType: '' } } };
}

/** Longer than a wake-up takes when every hint but the feed's own look is lost, and shorter than an await takes to look by itself. */
const WAKES_WITHIN_MS = 10_000;

/**
 * Enqueues a job on any replica and waits for its end, try after try on any of `awaiting`. Resolves when each that was begun has ended: how many were woken,
 * and those that were not.
 */
export async function enqueueAndAwait(
  storm: Storm,
  awaiting: readonly Stint[],
): Promise<{ readonly woken: number; readonly missed: readonly string[] }> {
  const { namespace } = storm;
  const missed: string[] = [];
  let woken = 0;
  while (storm.going()) {
    let jobId = '';
    const enqueued = await passing(async () => {
      const { job } = await pick(storm, storm.stints).enqueue({ namespace, job: { queue: pick(storm, storm.queues), type: 'awaited' } });
      jobId = job?.jobId ?? '';
    });
    if (!enqueued) continue;
    while (!(await passing(() => pick(storm, awaiting).awaitTerminal({ namespace, jobId }).rest()))) {
      await passing(async () => {
        const { job } = await pick(storm, storm.stints).getJob({ namespace, jobId });
        if (Date.now() - micros(job?.finishedAt) / 1_000 > WAKES_WITHIN_MS) missed.push(jobId);
      });
    }
    woken += 1;
  }
  return { woken, missed };
}
