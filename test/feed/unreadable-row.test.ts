/** A row that cannot be read, as one of a newer release: whoever reads others in the same statement is answered. */
import { describe, expect, it } from 'vitest';
import type { JobId } from '../../src/domain/job.ts';
import type { Store } from '../../src/repository/store.ts';
import { useScene } from './scene.ts';
import { enqueueTogether } from './work.ts';

const scene = useScene();
const never = () => new AbortController().signal;

describe('a row that cannot be read', () => {
  it('fails whoever asks for it, and nobody else', async () => {
    const unreadable = new Set<JobId>();
    const expectReadable = (ids: readonly JobId[]) => {
      if (ids.some((id) => unreadable.has(id))) throw new Error('unknown event 99');
    };
    const through = (store: Store): Store => ({
      ...store,
      repository: {
        ...store.repository,
        getJobs: async (ids) => {
          expectReadable(ids);
          return store.repository.getJobs(ids);
        },
        histories: async (asked, ...which) => {
          expectReadable(asked.map(({ jobId }) => jobId));
          return store.repository.histories(asked, ...which);
        },
      },
    });
    const { engine } = await scene.replica({ through });
    const namespace = scene.namespace();
    const jobIds = await enqueueTogether(engine, namespace, 8);
    const bad = jobIds[3] ?? expect.unreachable();
    unreadable.add(bad);
    const calls: Record<string, (jobId: JobId) => Promise<unknown>> = {
      getJob: (jobId) => engine.jobs.getJob({ namespace, jobId, withPayload: false }),
      awaitTerminal: (jobId) => engine.jobs.awaitTerminal({ namespace, jobId, includeProgress: false, afterLife: 0 }, never()).next(),
      awaitEvent: (jobId) => engine.events.awaitEvent({ namespace, jobId, type: 'enqueued', afterSequence: 0 }, never()).next(),
      follow: (jobId) =>
        engine.events.subscribe({ namespace, scope: { kind: 'job', jobId }, types: [], start: { kind: 'from_now' } }, never()).next(),
    };
    for (const [name, call] of Object.entries(calls)) {
      const outcomes = await Promise.allSettled(jobIds.map(call));
      expect([name, ...outcomes.map(({ status }) => status === 'fulfilled')]).toEqual([name, ...jobIds.map((jobId) => jobId !== bad)]);
    }
  });
});
