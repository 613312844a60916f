import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { LeaseToken } from '../../../src/domain/lease.ts';
import type { JobProgress } from '../../../src/domain/progress.ts';
import { ProgressReport, type ProgressReportParts, type ReportedProgress } from '../../../src/engine/progress/progress-report.ts';
import { told } from './told.ts';

/** Longer than it gathers. */
const A_MOMENT_MS = 100;

const held = { namespace: 'n', queue: 'q', attempt: 1, workerId: 'w' };

function reported(job: number, reportedAt = 1): ReportedProgress {
  const { jobId, fence, progress } = told(job, reportedAt);
  return { token: { shard: 0, jobId, fence, secret: 's' }, jobId, fence, reportedAt, progress };
}

describe('progress on its way', () => {
  let here: JobProgress[][];
  let elsewhere: JobProgress[][];
  let asked: number[];
  let failures: unknown[];
  let parts: ProgressReportParts;
  let report: ProgressReport;
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    [here, elsewhere, asked, failures] = [[], [], [], []];
    parts = {
      repository: {
        heldAttempts: (tokens: readonly LeaseToken[]) => {
          asked.push(tokens.length);
          return Promise.resolve(tokens.map(() => held));
        },
      },
      here: (all) => void here.push([...all]),
      elsewhere: (all) => Promise.resolve(void elsewhere.push([...all])),
      onFailure: (_what, error) => failures.push(error),
    };
    report = new ProgressReport(parts);
  });
  afterEach(async () => {
    await report.stop();
    vi.useRealTimers();
  });

  it('is gathered for a moment, then told here and elsewhere, the newest of each job', async () => {
    for (const one of [reported(1, 1), reported(2, 1), reported(1, 2)]) report.add(one);
    expect(here).toEqual([]);
    await vi.advanceTimersByTimeAsync(A_MOMENT_MS);
    expect(here).toEqual([[told(2, 1), told(1, 2)]]);
    expect(elsewhere).toEqual(here);
    await vi.advanceTimersByTimeAsync(A_MOMENT_MS);
    expect(asked).toEqual([2]);
  });

  it('is bounded: the newest of ten thousand jobs wait, and a thousand are told at once', async () => {
    for (let job = 0; job < 12_000; job += 1) report.add(reported(job));
    expect(report.pendingJobs).toBe(10_000);
    await vi.advanceTimersByTimeAsync(20 * A_MOMENT_MS);
    expect(asked).toEqual(Array.from({ length: 10 }, () => 1_000));
    expect(here.flat()[0]).toEqual(told(2_000));
    expect(here.flat()).toHaveLength(10_000);
  });

  it('is dropped where its attempt is over by then', async () => {
    report = new ProgressReport({ ...parts, repository: { heldAttempts: () => Promise.resolve([null, held]) } });
    report.add(reported(1));
    report.add(reported(2));
    await vi.advanceTimersByTimeAsync(A_MOMENT_MS);
    expect(here).toEqual([[told(2)]]);
  });

  it.each([
    ['the look', { repository: { heldAttempts: () => Promise.reject(new Error('away')) } }],
    ['the telling elsewhere', { elsewhere: () => Promise.reject(new Error('away')) }],
  ])('is lost when %s fails, and what comes after it is told', async (_what, broken) => {
    let isBroken = true;
    report = new ProgressReport({
      ...parts,
      repository: { heldAttempts: (tokens) => (isBroken ? { ...parts, ...broken } : parts).repository.heldAttempts(tokens) },
      elsewhere: (all) => (isBroken ? { ...parts, ...broken } : parts).elsewhere(all),
    });
    report.add(reported(1));
    await vi.advanceTimersByTimeAsync(A_MOMENT_MS);
    expect(failures).toHaveLength(1);
    isBroken = false;
    report.add(reported(1, 2));
    await vi.advanceTimersByTimeAsync(A_MOMENT_MS);
    expect(elsewhere).toEqual([[told(1, 2)]]);
  });

  it('costs nothing once it is stopped', async () => {
    report.add(reported(1));
    await report.stop();
    report.add(reported(2));
    await vi.advanceTimersByTimeAsync(A_MOMENT_MS);
    expect(asked).toEqual([]);
  });
});
