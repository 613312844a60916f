import { describe, expect, it } from 'vitest';
import type { JobId } from '../../../src/domain/job.ts';
import { HeldJobs } from '../../../src/engine/work/held-jobs.ts';
import { claimedJob } from '../desk.ts';
import { jobs, tokenOf } from './session-scene.ts';

function heldJobs() {
  const index = new Set<JobId>();
  const held = new HeldJobs({ add: (jobId) => void index.add(jobId), remove: (jobId) => void index.delete(jobId) });
  return { held, index };
}

describe('what a worker holds', () => {
  it('is found by its job, and by the very lease only', () => {
    const { held } = heldJobs();
    const job = claimedJob('w');
    held.add(job);
    const token = tokenOf(job);
    expect(held.get(job.job.jobId)?.leaseToken).toBe(job.lease.leaseToken);
    expect(held.of(token)?.token).toEqual(token);
    expect(held.of({ ...token, fence: token.fence + 1n })).toBeNull();
    expect(held.of({ ...token, secret: '11111111-1111-4111-8111-111111111111' })).toBeNull();
  });

  it('is taken over from elsewhere once, and by a newer lease of the job', () => {
    const { held } = heldJobs();
    const token = tokenOf(claimedJob('w'));
    held.adopt(token);
    const known = held.of(token);
    held.adopt(token);
    expect(held.of(token)).toBe(known);
    const newer = { ...token, fence: token.fence + 1n };
    held.adopt(newer);
    expect([held.size, held.get(token.jobId)?.token]).toEqual([1, newer]);
    held.adopt(token);
    expect(held.get(token.jobId)?.token).toEqual(newer);
  });

  it('stays when another lease of its job goes', () => {
    const { held, index } = heldJobs();
    const job = claimedJob('w');
    held.add(job);
    const token = tokenOf(job);
    held.remove({ ...token, fence: token.fence - 1n });
    expect([held.size, index.size]).toEqual([1, 1]);
    held.remove(token);
    held.remove(token);
    expect([held.size, index.size]).toEqual([0, 0]);
  });

  it('leaves nothing in the index when all goes', () => {
    const { held, index } = heldJobs();
    for (const job of jobs(3)) held.add(job);
    expect(index.size).toBe(3);
    held.close();
    expect([held.size, index.size, [...held.all()]]).toEqual([0, 0, []]);
    for (const job of jobs(1)) held.adopt(tokenOf(job));
    expect([held.size, index.size]).toEqual([0, 0]);
  });
});
