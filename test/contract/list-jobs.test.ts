import { describe, expect, it } from 'vitest';
import { JobState } from '../../gen/stint/v1/job.ts';
import { useService } from './scene.ts';
import { jobIn, STATES } from './standing.ts';

const scene = useService();

describe('ListJobs', () => {
  it.each(STATES)('finds a job that is %s by that state and by no other, and tells it as GetJob does', async (state) => {
    const here = scene();
    const { stint, namespace, job } = here;
    const { jobId } = await jobIn(here, state);
    const found = { ...(await job(jobId)), result: undefined };
    const others = STATES.filter((other) => other !== state).map((other) => JobState[other]);
    expect((await stint.listJobs({ namespace, states: [JobState[state]] })).jobs).toEqual([found]);
    expect((await stint.listJobs({ namespace, states: others })).jobs).toEqual([]);
    expect((await stint.listJobs({ namespace })).jobs).toEqual([found]);
  });

  it('over pages tells no job twice, and leaves out none that matched throughout, while others come, go and move', async () => {
    const { stint, namespace, queue, enqueue, claim } = scene();
    const { results } = await stint.enqueueBatch({ namespace, jobs: Array.from({ length: 40 }, () => ({ queue })) });
    const ids = results.map(({ result }) => (result?.$case === 'job' ? result.job.jobId : ''));
    // The oldest ones are claimed while the listing comes down to them, some of the others are cancelled and retried.
    const moved = new Set<string>();
    const told: string[] = [];
    let pageToken = '';
    for (let round = 0; round === 0 || pageToken !== ''; round += 1) {
      const page = await stint.listJobs({ namespace, states: [JobState.READY], pageSize: 6, pageToken });
      told.push(...page.jobs.map(({ jobId }) => jobId));
      pageToken = page.nextPageToken;
      await enqueue();
      for (const { job } of (await claim({ maxJobs: 2 })).jobs) moved.add(job?.jobId ?? '');
      const jobId = ids[39 - round * 5] ?? '';
      moved.add(jobId);
      await stint.cancelJob({ namespace, jobId });
      if (round % 2 === 0) await stint.retryJob({ namespace, jobId }).catch(() => undefined);
    }
    expect(new Set(told).size).toBe(told.length);
    const throughout = ids.filter((jobId) => !moved.has(jobId));
    expect(throughout.length).toBeGreaterThan(10);
    expect(told).toEqual(expect.arrayContaining(throughout));
  });
});
