import { describe, expect, it } from 'vitest';
import { checkHistory } from '../support/history/check.ts';
import { Story, TTL_MS } from './story.ts';
import { eventsIn, read, type Tellings } from './telling.ts';

const UNKNOWN = { outcome: 'unknown' } as const;
const UNKNOWN_AND_LOST = { outcome: 'unknown', happened: false } as const;
const REFUSED = { outcome: 'refused' } as const;

/** Longer than anything in a story may hold a row. */
const AFTER_TROUBLE_MS = 60_000;

// Good histories that are easily taken for bad ones.
const producers: Tellings = {
  'an enqueue of unknown outcome made a job': (story) => {
    story.settle('ack', story.claim('w', story.enqueue('a', {}, UNKNOWN)));
  },
  'an enqueue of unknown outcome made none': (story) => {
    story.enqueue('a', {}, UNKNOWN_AND_LOST);
  },
  'an enqueue whose caller died made a job': (story) => {
    story.enqueue('a', {}, { ...UNKNOWN, endedAtMs: null });
  },
  'an enqueue was tried until it was answered': (story) => {
    for (const course of [UNKNOWN_AND_LOST, UNKNOWN, {}]) story.enqueue('a', { jobId: 'x', key: 'k' }, course);
  },
  'an id and a key were refused to other contents': (story) => {
    story.enqueue('a', { jobId: 'x', key: 'k' });
    story.enqueue('b', { jobId: 'x' }, REFUSED);
    story.enqueue('c', { key: 'k' }, REFUSED);
  },
};

const workers: Tellings = {
  'an ack of unknown outcome was applied, and answered when it was repeated': (story) => {
    const held = story.claim('w', story.enqueue('a'));
    story.settle('ack', held, UNKNOWN);
    story.saySettled('ack', held, 'ALREADY_APPLIED');
  },
  'an ack of unknown outcome was not applied until it was repeated': (story) => {
    const held = story.claim('w', story.enqueue('a'));
    story.settle('ack', held, UNKNOWN_AND_LOST);
    story.settle('ack', held);
  },
  'a late ack was refused, and another worker did it': (story) => {
    const jobId = story.enqueue('a');
    const late = story.claim('w1', jobId);
    story.lapse(late);
    story.nowMs += TTL_MS;
    const next = story.claim('w2', jobId);
    story.settle('ack', late, REFUSED);
    story.settle('ack', next);
  },
  'a release that came late was not held, and changed nothing': (story) => {
    const jobId = story.enqueue('a');
    const late = story.claim('w1', jobId);
    story.lapse(late);
    story.nowMs += TTL_MS;
    story.settle('ack', story.claim('w2', jobId));
    story.saySettled('release', late, 'NOT_HELD');
  },
  'a claim of unknown outcome held a job until it lapsed': (story) => {
    const jobId = story.enqueue('a');
    story.lapse(story.claim('w1', jobId, UNKNOWN));
    story.settle('ack', story.claim('w2', jobId));
  },
  'a claim that was given up was handed back by the service itself': (story) => {
    const jobId = story.enqueue('a');
    const { worker } = story.claim('w1', jobId, UNKNOWN);
    story.happen(jobId, { type: 'released', state: 'READY', worker, attempt: 0 });
    story.settle('ack', story.claim('w2', jobId));
  },
  'the worker that claimed died': (story) => {
    const jobId = story.enqueue('a');
    story.lapse(story.claim('w1', jobId, { ...UNKNOWN, endedAtMs: null }));
    story.settle('ack', story.claim('w2', jobId));
  },
  'a claim was repeated with its id and given the same lease': (story) => {
    const jobId = story.enqueue('a');
    const held = story.claim('w', jobId, { ...UNKNOWN, requestId: 'one' });
    story.sayClaimed(held, { requestId: 'one' });
    story.settle('ack', held);
  },
  'a claim was repeated with its id when the lease was nearly over, and another worker got the job': (story) => {
    const jobId = story.enqueue('a');
    const held = story.claim('w1', jobId, { ...UNKNOWN, requestId: 'one', sentAtMs: 10 });
    story.sayClaimed(held, { requestId: 'one', sentAtMs: 10 + 0.9 * TTL_MS });
    story.lapse(held);
    story.settle('ack', story.claim('w2', jobId, { sentAtMs: 10 + TTL_MS }));
  },
  'a claim was answered when its lease had passed to another': (story) => {
    const jobId = story.enqueue('a');
    const late = story.claim('w1', jobId, { sentAtMs: 10, endedAtMs: 10 + 3 * TTL_MS });
    story.lapse(late);
    story.settle('ack', story.claim('w2', jobId, { sentAtMs: 10 + 2 * TTL_MS }), { sentAtMs: 10 + 4 * TTL_MS });
  },
  'a job was given back, and claimed by another at once': (story) => {
    const jobId = story.enqueue('a');
    story.settle('release', story.claim('w1', jobId));
    story.settle('ack', story.claim('w2', jobId));
  },
  'a lease was renewed, and passed on when the renewed time was over': (story) => {
    const jobId = story.enqueue('a');
    const first = story.claim('w1', jobId, { sentAtMs: 10 });
    story.heartbeat(first, { sentAtMs: 10 + TTL_MS / 2 });
    story.heartbeat(first, { sentAtMs: 10 + TTL_MS, ...REFUSED });
    story.lapse(first);
    story.settle('ack', story.claim('w2', jobId, { sentAtMs: 11 + 1.5 * TTL_MS }));
  },
  'a job waits after its attempt failed': (story) => {
    story.settle('fail', story.claim('w', story.enqueue('a')));
  },
};

const orders: Tellings = {
  'two enqueues crossed': (story) => {
    story.enqueue('a', {}, { sentAtMs: 10, endedAtMs: 20 });
    story.enqueue('b', {}, { sentAtMs: 11, endedAtMs: 15 });
  },
  'two enqueues crossed, and the one that was asked for later was claimed first': (story) => {
    const first = story.enqueue('a', {}, { sentAtMs: 10, endedAtMs: 20 });
    const second = story.enqueue('b', {}, { sentAtMs: 11, endedAtMs: 15 });
    for (const jobId of [second, first]) story.settle('ack', story.claim('w', jobId));
  },
  'a later job was claimed while an earlier one was delayed': (story) => {
    const [first, second] = [story.enqueue('a', { delayMs: 100 }), story.enqueue('b')];
    for (const jobId of [second, first]) story.settle('ack', story.claim('w', jobId));
  },
  'a later job of another queue, and one of another priority, were claimed first': (story) => {
    const [first, ...later] = [story.enqueue('a'), story.enqueue('b', { queue: 'r' }), story.enqueue('c', { priority: 1 })];
    for (const jobId of [...later, first]) story.settle('ack', story.claim('w', jobId));
  },
  'a later job was claimed while a claim of unknown outcome may have locked the earlier one': (story) => {
    const [first, second] = [story.enqueue('a'), story.enqueue('b')];
    story.claim('w1', first, UNKNOWN_AND_LOST);
    for (const jobId of [second, first]) story.settle('ack', story.claim('w2', jobId));
  },
  'a later job was claimed while the earlier one was held by a claim that was never answered': (story) => {
    const [first, second] = [story.enqueue('a'), story.enqueue('b')];
    const unanswered = story.claim('w1', first, { ...UNKNOWN, endedAtMs: null });
    story.settle('ack', story.claim('w2', second));
    story.lapse(unanswered);
    story.settle('ack', story.claim('w2', first));
  },
};

const subscribers: Tellings = {
  'a subscriber was given again what it had before it resumed': (story) => {
    story.settle('ack', story.claim('w', story.enqueue('a')));
    const events = eventsIn(story.history());
    return read(story.history(), events.slice(0, 3), events.slice(2));
  },
  'a subscriber without a cursor began again': (story) => {
    story.settle('ack', story.claim('w', story.enqueue('a')));
    const events = eventsIn(story.history());
    const history = read(story.history(), events.slice(0, 3), events);
    return history.map((line) => (line.op === 'stream' ? { ...line, resumed: false } : line));
  },
  'an await was cut off and tried again': (story) => {
    const jobId = story.enqueue('a');
    story.await(jobId, '', UNKNOWN);
    story.settle('ack', story.claim('w', jobId));
    story.await(jobId, 'SUCCEEDED');
  },
  'whoever awaited a job died before it was told': (story) => {
    const jobId = story.enqueue('a');
    story.await(jobId, '', { ...UNKNOWN, endedAtMs: null });
    story.settle('ack', story.claim('w', jobId));
  },
  'an await of a job that goes on was not told': (story) => {
    story.await(story.enqueue('a'), '', UNKNOWN);
  },
};

describe.each(Object.entries({ producers, workers, orders, subscribers }))('the checker finds nothing among %s where', (_who, tellings) => {
  it.each(Object.entries(tellings))('%s', (_name, tell) => {
    const story = new Story();
    expect(checkHistory(tell(story) ?? story.history())).toEqual([]);
  });
});

describe('after a call of unknown outcome', () => {
  it('the order of claims is judged again once nothing of it can hold a row', () => {
    const story = new Story();
    story.enqueue('x', {}, UNKNOWN_AND_LOST);
    story.nowMs += AFTER_TROUBLE_MS;
    const [first, second] = [story.enqueue('a'), story.enqueue('b')];
    for (const jobId of [second, first]) story.settle('ack', story.claim('w', jobId));
    expect(checkHistory(story.history())).toMatchObject([{ kind: 'order_violation' }]);
  });
});
