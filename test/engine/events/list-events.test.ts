import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JobEvent } from '../../../src/domain/event.ts';
import { listEvents } from '../../../src/engine/events/list-events.ts';
import { jobId } from '../../feed/memory-journal.ts';
import { JobHistory } from './job-history.ts';

const JOB = jobId(1);

describe('pages of a history', () => {
  it('put together are what is wanted of it, each no longer than asked for', async () => {
    const told = fc.record({
      types: fc.array(fc.constantFrom('ready' as const, 'claimed' as const, 'started' as const), { maxLength: 40 }),
      wanted: fc.subarray(['ready', 'claimed', 'started', 'no.such']),
      pageSize: fc.integer({ min: 1, max: 10 }),
      afterSequence: fc.nat(45),
    });
    const property = fc.asyncProperty(told, async ({ types, wanted, pageSize, afterSequence }) => {
      const job = new JobHistory();
      types.forEach((type) => job.append({ detail: { type } }));
      const events: JobEvent[] = [];
      let after: number | null = afterSequence;
      while (after !== null) {
        const page = await listEvents(job, { namespace: 'n', jobId: JOB, afterSequence: after, types: wanted, pageSize });
        if (!page.ok) throw new Error(page.refusal.kind);
        expect(page.value.events.length).toBeLessThanOrEqual(pageSize);
        expect(page.value.latestSequence).toBe(types.length);
        events.push(...page.value.events);
        after = page.value.nextAfter;
      }
      const matching = job.events.filter(({ detail }) => wanted.length === 0 || wanted.includes(detail.type));
      expect(events).toEqual(matching.filter(({ sequence }) => sequence > afterSequence));
    });
    await fc.assert(property);
  });

  it('of a job in another namespace are refused', async () => {
    const query = { namespace: 'other', jobId: JOB, afterSequence: 0, types: [], pageSize: 10 };
    expect(await listEvents(new JobHistory(), query)).toEqual({ ok: false, refusal: { kind: 'job_not_found', jobId: JOB } });
  });
});
