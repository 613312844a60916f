import { describe, expect, it } from 'vitest';
import { checkHistory } from '../support/history/check.ts';
import { checkAcrossLoss, type LossWindow, withoutLostAnswers } from '../support/history/lost-answers.ts';
import type { HistoryLine } from '../support/history/record.ts';
import { type Held, Story, TTL_MS } from './story.ts';

const LOST = { happened: false } as const;

interface FailOver {
  readonly story: Story;
  /** Given before; its job is claimed again after it. */
  readonly held: Held;
  readonly window: LossWindow;
}

/** Answered and lost: an ack, an enqueue, a claim, an await. */
function failOver(): FailOver {
  const story = new Story();
  const [acked, claimed] = [story.enqueue('acked'), story.enqueue('claimed')];
  const held = story.claim('w', acked);
  const fromMs = story.nowMs + 0.5;
  story.settle('ack', held, LOST);
  story.await(acked, 'SUCCEEDED');
  story.claim('w', claimed, LOST);
  story.enqueue('gone', {}, LOST);
  const window = { fromMs, untilMs: story.nowMs + 0.5 };
  story.nowMs += TTL_MS;
  story.lapse(held);
  return { story, held, window };
}

/** What is left is worked off under higher fences. */
function workOff({ story, held }: FailOver, fence = 100n): void {
  for (const jobId of [held.jobId, 'job-claimed']) {
    story.happen(jobId, { type: 'claimed', state: 'LEASED', worker: 'v', fence, attempt: story.job(jobId).attempt + 1 });
    const { attempt } = story.job(jobId);
    const again = { ...held, jobId, worker: 'v', fence, attempt };
    story.sayClaimed(again);
    story.settle('ack', again);
  }
}

const kindsOf = (history: readonly HistoryLine[], window: LossWindow) => [
  ...new Set([...checkHistory(withoutLostAnswers(history, window)), ...checkAcrossLoss(history)].map(({ kind }) => kind)),
];

describe('a history over a fail-over that lost answers', () => {
  it('is sound where only answers of the window are lost, and unsound without knowing of it', () => {
    const told = failOver();
    workOff(told);
    const history = told.story.history();
    expect(kindsOf(history, told.window)).toEqual([]);
    expect(checkHistory(history)).not.toEqual([]);
  });

  it.each([
    ['before', -1],
    ['after', 1],
  ])('is unsound where an answer of just %s it is lost', (_when, sign) => {
    const told = failOver();
    workOff(told);
    const moved = told.window[sign < 0 ? 'fromMs' : 'untilMs'];
    const course = { ...LOST, sentAtMs: moved + sign - 0.25, endedAtMs: moved + sign * 0.25 };
    told.story.enqueue('lost', {}, course);
    expect(kindsOf(told.story.history(), told.window)).toEqual(['lost']);
  });

  it('is unsound where a lost fence is given again', () => {
    const told = failOver();
    workOff(told, told.held.fence);
    expect(kindsOf(told.story.history(), told.window)).toContain('duplicated');
  });

  it('is unsound where a fence is below a lost one', () => {
    const told = failOver();
    const lost = { ...told.held, fence: 200n };
    told.story.sayClaimed(lost, { sentAtMs: told.window.fromMs, endedAtMs: told.window.fromMs + 0.25 });
    workOff(told);
    expect(kindsOf(told.story.history(), told.window)).toContain('fence_not_risen');
  });

  it('judges what a subscriber read before it began anew, and what it read then', () => {
    const told = failOver();
    workOff(told);
    const history = told.story.history();
    const events = history.flatMap((line) => (line.op === 'events' ? line.events : []));
    const about = { subscriber: 's' };
    const former = (from: number): HistoryLine[] => [
      { op: 'stream', ...about, stream: 0, replica: 'r', resumed: false },
      { op: 'events', ...about, stream: 0, events: events.filter(({ jobId }) => jobId === told.held.jobId).slice(from, 2) },
      {
        op: 'events',
        ...about,
        stream: 0,
        events: [{ ...told.held, sequence: 3, type: 'succeeded', life: 1, state: '', failureCode: '', whole: 'lost' }],
      },
    ];
    expect(kindsOf([...former(0), ...history], told.window)).toEqual([]);
    expect(kindsOf([...former(1), ...history], told.window)).toEqual(['gap']);
  });
});
