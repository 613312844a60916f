import type { HistoryLine } from '../support/history/record.ts';
import { TTL_MS } from './story.ts';
import type { Tellings } from './telling.ts';

/** Leases that overlap, come too late, or under a fence that has not risen. */
export const badLeases: Readonly<Record<'overlapping_leases' | 'stale_success' | 'fence_not_risen' | 'too_many_attempts', Tellings>> = {
  overlapping_leases: {
    'a second holder before the first must have stopped': (story) => {
      const jobId = story.enqueue('a');
      const first = story.claim('w1', jobId);
      story.lapse(first);
      story.settle('ack', story.claim('w2', jobId));
    },
    'a second holder before the renewed time has passed': (story) => {
      const jobId = story.enqueue('a');
      const first = story.claim('w1', jobId, { sentAtMs: 10 });
      story.heartbeat(first, { sentAtMs: 10 + TTL_MS - 1 });
      story.lapse(first);
      story.settle('ack', story.claim('w2', jobId, { sentAtMs: 10 + TTL_MS + 1 }));
    },
    'one lease given to two workers': (story) => {
      const held = story.claim('w1', story.enqueue('a'));
      story.sayClaimed({ ...held, worker: 'w2' });
      story.settle('ack', held);
    },
  },
  stale_success: {
    'an ack that was applied after the job was given to another': (story) => {
      const jobId = story.enqueue('a');
      const first = story.claim('w1', jobId);
      story.lapse(first);
      story.nowMs += TTL_MS;
      const second = story.claim('w2', jobId);
      story.saySettled('ack', first, 'APPLIED');
      story.settle('ack', second);
    },
    'an ack that was applied, of an attempt that ended otherwise': (story) => {
      const held = story.claim('w', story.enqueue('a'));
      story.lapse(held);
      story.saySettled('ack', held, 'APPLIED');
    },
    'a settlement that was applied twice': (story) => {
      const held = story.claim('w', story.enqueue('a'));
      story.settle('ack', held);
      story.saySettled('ack', held, 'APPLIED');
    },
    'a first ack that was already applied': (story) => {
      const held = story.claim('w', story.enqueue('a'));
      story.settle('ack', held, { outcome: 'refused', happened: true });
      story.saySettled('ack', held, 'ALREADY_APPLIED');
    },
    'a token that was taken for two kinds of settlement': (story) => {
      const held = story.claim('w', story.enqueue('a'));
      story.settle('release', held);
      story.saySettled('ack', held, 'APPLIED');
    },
    'a renewal after the job was given to another': (story) => {
      const jobId = story.enqueue('a');
      const first = story.claim('w1', jobId);
      story.lapse(first);
      story.nowMs += TTL_MS;
      story.settle('ack', story.claim('w2', jobId));
      story.heartbeat(first);
    },
    'a renewal after the settlement': (story) => {
      const held = story.claim('w', story.enqueue('a'));
      story.settle('ack', held);
      story.heartbeat(held);
    },
  },
  fence_not_risen: {
    'two claims under one fence': (story) => {
      const jobId = story.enqueue('a');
      for (const worker of ['w1', 'w2']) {
        story.sayClaimed({ worker, jobId, fence: 1n, attempt: 1, maxAttempts: 3, ttlMs: 1 });
        story.happen(jobId, { type: 'claimed', state: 'LEASED', fence: 1n, worker });
        story.happen(jobId, { type: 'retry_scheduled', state: 'RETRY_WAIT', failureCode: 'stint.lease_expired' });
        story.nowMs += 10;
      }
    },
    'an answer with a lower fence than an earlier one': (story) => {
      const jobId = story.enqueue('a');
      const first = story.claim('w1', jobId, { outcome: 'unknown', requestId: 'first' });
      story.lapse(first);
      story.settle('ack', story.claim('w2', jobId));
      story.sayClaimed(first, { requestId: 'first' });
      return withoutHolds(story.history());
    },
  },
  too_many_attempts: {
    'an attempt past the last': (story) => {
      const jobId = story.enqueue('a');
      for (let attempt = 1; attempt <= 4; attempt += 1) {
        story.lapse(story.claim('w', jobId));
        story.nowMs += TTL_MS;
      }
    },
  },
};

/** Where only the fence of an answer is to be wrong, and not when it was held. */
function withoutHolds(history: HistoryLine[]): HistoryLine[] {
  return history.map((line) =>
    line.op === 'claim' && line.outcome === 'ok' ? { ...line, told: { jobs: line.told.jobs.map((job) => ({ ...job, ttlMs: 0 })) } } : line,
  );
}
