import { describe, expect, it } from 'vitest';
import { checkHistory } from '../support/history/check.ts';
import type { FindingKind } from '../support/history/finding.ts';
import { badJobs } from './bad-jobs.ts';
import { badLeases } from './bad-leases.ts';
import { badOrders } from './bad-orders.ts';
import { Story, TTL_MS } from './story.ts';
import { type Telling, type Tellings, workedOff } from './telling.ts';

function kindsOf(tell: Telling): FindingKind[] {
  const story = new Story();
  const history = tell(story) ?? story.history();
  return [...new Set(checkHistory(history).map(({ kind }) => kind))];
}

const bad: Readonly<Record<FindingKind, Tellings>> = {
  ...badJobs,
  ...badLeases,
  ...badOrders,
  unexpected_status: {
    'a status that no client may see': (story) => {
      story.enqueue('a');
      return [...story.history(), { op: 'unexpected', process: 'c', replica: 'r', rpc: 'Ack', code: 'INTERNAL/', message: 'oh' }];
    },
  },
  asleep: {
    'an await that was never told': (story) => {
      story.await(workedOff(story, 'a'), '', { outcome: 'unknown' });
    },
  },
  broken_invariant: {
    'what CheckInvariants found': (story) => {
      const jobId = story.enqueue('a');
      return [...story.history(), { op: 'final_violation', jobId, invariant: 'I9', detail: 'rows and events differ' }];
    },
  },
  incomplete: {
    'no end of the final lines': (story) => {
      story.enqueue('a');
      return story.history().filter(({ op }) => op !== 'final_end');
    },
  },
};

/** What else such a history cannot but show. */
const also: Readonly<Record<string, readonly FindingKind[]>> = {
  'one lease given to two workers': ['lost'],
  'a renewal after the job was given to another': ['overlapping_leases'],
};

describe.each(Object.entries(bad))('the checker finds %s:', (kind, tellings) => {
  it.each(Object.entries(tellings))('%s', (name, tell) => {
    expect(kindsOf(tell).toSorted()).toEqual([kind, ...(also[name] ?? [])].toSorted());
  });
});

it('the checker finds every lease that overlaps a long one, also behind a short one', () => {
  const story = new Story();
  const jobId = story.enqueue('a');
  const long = story.claim('w1', jobId);
  story.heartbeat(long, { sentAtMs: TTL_MS });
  const short = story.claim('w2', jobId, { sentAtMs: TTL_MS + 10 });
  story.settle('release', short);
  story.settle('ack', story.claim('w3', jobId));
  expect(checkHistory(story.history()).filter(({ kind }) => kind === 'overlapping_leases')).toHaveLength(2);
});
