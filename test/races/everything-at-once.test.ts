/** Everybody who can move a job, at the same time. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobId } from '../../src/domain/job.ts';
import { DATABASE_CLOCK } from '../../src/engine/ports/clock.ts';
import type { Operated } from '../../src/engine/ports/repository.ts';
import { StoreError } from '../../src/engine/ports/store-error.ts';
import { PATIENT, policy, slot, tokenOf } from '../engine/stage.ts';
import { fails, Ground } from './ground.ts';

/** So long at least, and on until each of the rare moves was made. */
const LOAD_MS = 2_000;
const LIMIT_MS = 20_000;

let ground: Ground;
beforeAll(async () => {
  ground = await Ground.open();
});
beforeEach(() => ground.renew());
afterAll(() => ground.close());

describe('everything at once', () => {
  it('leaves every job sound: held, failed, given back, cancelled, resumed, retried, updated and swept by the true clock', async () => {
    const replicas = [
      await ground.stage.another({ clock: DATABASE_CLOCK, settings: PATIENT }),
      await ground.stage.another({ clock: DATABASE_CLOCK, settings: PATIENT }),
    ];
    const timeouts = { scheduleToStartMs: 800, startToCloseMs: 100, scheduleToCloseMs: 1_500 };
    const retry = policy({ initialBackoffMs: 1, jitter: false, maxAttempts: 3 });
    const ids = await ground.stage.enqueue(ground.queue, ...Array.from({ length: 60 }, () => ({ timeouts, retry })));
    const since = performance.now();
    const seen = { resumed: false, retried: false };
    const goesOn = () => {
      const took = performance.now() - since;
      return took < LOAD_MS || (took < LIMIT_MS && !(seen.resumed && seen.retried));
    };
    const turns = replicas.flatMap((repository, replica) => [
      async () => {
        const { jobs } = await repository.claim([ground.queue], [slot({ maxJobs: 6 })]);
        const claimed = jobs.flat();
        const [a = [], b = [], c = []] = [0, 1, 2].map((third) => claimed.slice(third * 2, third * 2 + 2));
        await repository.failMany(fails(a).map((one) => ({ ...one, retryAfterMs: 1 })));
        await repository.suspendMany(b.map((one) => ({ token: tokenOf(one), checkpoint: Buffer.from('c'), reason: '' })));
        if (replica === 0) await repository.releaseMany(c.map((one) => ({ token: tokenOf(one), delayMs: 1 })));
      },
      () => repository.cancelMany(ground.asking(some(ids).slice(0, 1))),
      async () => {
        if (isApplied(await repository.resumeMany(ground.asking(some(ids))))) seen.resumed = true;
      },
      async () => {
        if (isApplied(await repository.retryMany(ground.asking(some(ids))))) seen.retried = true;
      },
      () => repository.requestAbandonMany(ground.asking(some(ids).slice(0, 1))),
      () =>
        repository.updateMany(
          ground.asking(some(ids)).map((item) => ({
            ...item,
            change: { priority: replica, runAt: Math.random() < 0.5 ? null : Date.now() * 1_000 + 50_000 },
          })),
        ),
      () => repository.expireLeases(),
      () => repository.timeOut(),
      () => repository.promoteDue(),
    ]);
    let done = 0;
    await Promise.all(
      turns.map(async (turn) => {
        for (; goesOn(); done += 1) await turn().catch(passOverLostRace);
      }),
    );
    expect(done).toBeGreaterThan(turns.length);
    expect(seen).toEqual({ resumed: true, retried: true });
    await ground.soundHistories(ids);
  });

  function isApplied(outcomes: readonly Operated<string>[]): boolean {
    return outcomes.some(({ kind }) => kind === 'applied');
  }

  /** Two who lock several jobs may deadlock, and Postgres undoes one of them: a lane runs it again. */
  function passOverLostRace(error: unknown): void {
    if (!(error instanceof StoreError) || error.kind !== 'conflict') throw error;
  }

  /** A few of the jobs, in any order. */
  function some(ids: readonly JobId[]): readonly JobId[] {
    return ids.filter(() => Math.random() < 0.1).toSorted(() => Math.random() - 0.5);
  }
});
