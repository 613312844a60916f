import { describe, expect, it } from 'vitest';
import { jobViolations, type Holding } from '../../src/domain/history.ts';
import type { EventDetail, JobEvent } from '../../src/domain/event.ts';
import { stateAfter } from '../../src/domain/event.ts';
import type { JobId } from '../../src/domain/job.ts';

const jobId = '01a1fb5e-e217-7349-b468-5e8690cb60b6' as JobId;

function event(sequence: number, detail: EventDetail, moved: Partial<JobEvent> = {}): JobEvent {
  return {
    namespace: 'default',
    queue: 'q',
    jobId,
    sequence,
    occurredAt: sequence,
    life: 1,
    attempt: sequence > 1 ? 1 : 0,
    fence: sequence > 1 ? 5n : 0n,
    state: stateAfter(detail),
    workerId: '',
    detail,
    ...moved,
  };
}

const enqueued = event(1, { type: 'enqueued', jobType: '', priority: 0, runAt: null });
const sound = [enqueued, event(2, { type: 'claimed' }), event(3, { type: 'started' }), event(4, { type: 'succeeded', evidence: null })];
const ended: Holding = { state: 'SUCCEEDED', life: 1, attempt: 1, fence: 5n, sequence: 4 };

const invariantsOf = (events: readonly JobEvent[], holdings: readonly Holding[], maxAttempts = 10) =>
  jobViolations({ events, holdings, maxAttempts }).map(({ invariant }) => invariant);

describe('the check of a job', () => {
  it('finds nothing wrong with a sound one', () => {
    expect(jobViolations({ events: sound, holdings: [ended], maxAttempts: 10 })).toEqual([]);
  });

  it.each<[string, readonly JobEvent[], readonly Holding[], string]>([
    ['a missing event', [sound[0], sound[1], sound[3]].filter((one) => one !== undefined), [ended], 'I8'],
    ['no event at all', [], [ended], 'I8'],
    ['two terminal events', [...sound, event(5, { type: 'succeeded', evidence: null })], [{ ...ended, sequence: 5 }], 'I3'],
    ['rows that say otherwise', sound, [{ ...ended, attempt: 2 }], 'I9'],
    ['a state the events do not lead to', sound, [{ ...ended, state: 'FAILED' }], 'I9'],
    ['no place', sound, [], 'I4'],
    ['two places', sound, [ended, { ...ended, state: 'RUNNING' }], 'I4'],
    ['two ends', sound, [ended, ended], 'I3'],
    [
      'a fence that falls',
      [...sound.slice(0, 3), event(4, { type: 'succeeded', evidence: null }, { fence: 4n })],
      [{ ...ended, fence: 4n }],
      'I5',
    ],
    [
      'a claim under no new fence',
      [enqueued, event(2, { type: 'claimed' }, { fence: 0n })],
      [{ ...ended, state: 'LEASED', fence: 0n, sequence: 2 }],
      'I5',
    ],
    [
      'a state that the event cannot lead to',
      [{ ...enqueued, state: 'RUNNING' }],
      [{ state: 'READY', life: 1, attempt: 0, fence: 0n, sequence: 1 }],
      'I9',
    ],
  ])('finds %s', (_name, events, holdings, invariant) => {
    expect(invariantsOf(events, holdings)).toContain(invariant);
  });

  it('finds more attempts than the policy has', () => {
    expect(invariantsOf(sound, [ended], 0)).toContain('I7');
  });
});
