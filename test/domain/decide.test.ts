import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { begin, decide } from '../../src/domain/decide.ts';
import { stateAfter, type EventDetail } from '../../src/domain/event.ts';
import { isTerminal, NO_TIMEOUTS, type JobState, type Micros } from '../../src/domain/job.ts';
import { leaseEnd } from '../../src/domain/lease.ts';
import { DEFAULT_RETRY_POLICY } from '../../src/domain/retry.ts';
import type { Command, Rules, TokenState } from '../../src/domain/token-state.ts';
import { TRANSITIONS } from '../../src/domain/transition.ts';
import { anyWalk, MAX_ATTEMPTS, type Step } from './walk.ts';

const RUNS = 200;

/** Holds for every walk. */
function always(look: (step: Step) => void): void {
  fc.assert(
    fc.property(anyWalk, (steps) => {
      for (const step of steps) look(step);
    }),
    { numRuns: RUNS },
  );
}

/** The events of each life, in order, from all the steps of a walk. */
function livesOf(steps: readonly Step[]): readonly (readonly EventDetail[])[] {
  const lives: EventDetail[][] = [[]];
  for (const event of steps.flatMap(({ events }) => events)) {
    if (event.type === 'retried') lives.push([]);
    lives.at(-1)?.push(event);
  }
  return lives;
}

function inEachLife(look: (events: readonly EventDetail[]) => void): void {
  fc.assert(
    fc.property(anyWalk, (steps) => livesOf(steps).forEach(look)),
    { numRuns: RUNS },
  );
}

const after = (events: readonly EventDetail[], type: EventDetail['type']): readonly EventDetail['type'][] => {
  const index = events.findIndex((event) => event.type === type);
  return index === -1 ? [] : events.slice(index + 1).map((event) => event.type);
};

const isHeld = (job: TokenState) => 'lease' in job;

describe('the walks', () => {
  it('go along every line of the table', () => {
    const met = new Set(['null enqueued READY', 'null enqueued SCHEDULED']);
    for (const { before, events } of fc.sample(anyWalk, { seed: 1, numRuns: 1_000 }).flat()) {
      let state: JobState = before.state;
      for (const event of events) {
        met.add(`${state} ${event.type} ${stateAfter(event)}`);
        state = stateAfter(event);
      }
    }
    // Jobs without a concurrency key: no other is ever BLOCKED.
    const lines = TRANSITIONS.filter(({ from, to }) => from !== 'BLOCKED' && to !== 'BLOCKED').map(
      ({ from, event, to }) => `${from} ${event} ${to}`,
    );
    expect(lines.filter((line) => !met.has(line))).toEqual([]);
  });
});

/** A waiting job whose time is over, whether or not it was swept. */
function isLate(job: TokenState, now: Micros): boolean {
  return decide(job, { action: 'time_out' }, now).kind === 'applied';
}

describe('the state machine', () => {
  it('moves only along its table, with one event for each transition', () => {
    always(({ before, after: job, events }) => {
      let state: JobState = before.state;
      for (const event of events) {
        const to = stateAfter(event);
        const found = TRANSITIONS.some((one) => one.from === state && one.event === event.type && one.to === to);
        expect(found, `${state} -${event.type}-> ${to}`).toBe(true);
        state = to;
      }
      expect(state).toBe(job.state);
      expect(job.sequence).toBe(before.sequence + events.length);
    });
  });

  it('names in its table the action that moved the job, or the end of what nobody had swept', () => {
    always(({ before, command, events, now }) => {
      const asks = command.action === 'expire' ? ['expire', 'time_out', 'force_cancel'] : [command.action];
      const isOver = isLate(before, now) || ('lease' in before && leaseEnd(before.lease) <= now);
      const ended = isOver ? ['expire', 'time_out', 'force_cancel'] : [];
      let state: JobState = before.state;
      for (const event of events) {
        const to = stateAfter(event);
        const actions = TRANSITIONS.filter((one) => one.from === state && one.event === event.type && one.to === to);
        const started = event.type === 'started' ? ['start'] : [];
        expect(actions.map(({ action }) => action).filter((action) => [...asks, ...ended, ...started].includes(action))).not.toEqual([]);
        state = to;
      }
    });
  });

  it('tells nothing after the end of a life but the retry that begins the next', () => {
    always(({ before, after: job, events }) => {
      if (events[0]?.type !== 'retried' && job.life !== before.life) expect(events.at(-1)?.type).toBe('retried');
      if (!isTerminal(before.state)) return;
      expect(events.map(({ type }) => type)).toEqual(job.life === before.life ? [] : ['retried']);
      expect(job.state).toBe(events.length === 0 ? before.state : 'READY');
    });
    inEachLife((events) => {
      expect(events.slice(0, -1).filter((event) => isTerminal(stateAfter(event)))).toEqual([]);
    });
  });

  it('begins a life afresh: no attempt spent, nothing asked, a whole time to end in', () => {
    always(({ before, after: job, now }) => {
      if (job.life === before.life) return;
      const { scheduleToCloseMs } = job.rules.timeouts;
      expect(job).toMatchObject({ life: before.life + 1, attempt: 0, releases: 0, wasStarted: false, abandonReason: null });
      expect(job.lifeUntil).toBe(scheduleToCloseMs === null ? null : now + scheduleToCloseMs * 1_000);
    });
  });

  it('never lowers a fence, and raises it with every claim', () => {
    always(({ before, after: job, command }) => {
      expect(job.fence >= before.fence).toBe(true);
      if (command.action === 'claim') expect(job.fence > before.fence).toBe(true);
    });
  });

  it('changes nothing for a stale token', () => {
    always(({ isStale }) => expect(isStale).toBe(false));
  });

  it('never spends more attempts than the policy has, nor fewer than none', () => {
    always(({ after: job }) => {
      expect(job.attempt).toBeLessThanOrEqual(MAX_ATTEMPTS);
      expect(job.attempt).toBeGreaterThanOrEqual(0);
    });
  });

  it('spends the attempt of a try that failed or was lost, and no other', () => {
    always(({ before, after: job, events }) => {
      const [first] = events;
      if (!isHeld(before) || job.life !== before.life) return;
      const isRefunded = first?.type === 'released' || first?.type === 'suspended';
      expect(job.attempt).toBe(isRefunded ? before.attempt - 1 : before.attempt);
    });
  });
});

describe('a cancellation', () => {
  it('once asked for is followed by no other try', () => {
    inEachLife((events) => {
      const allowed = ['started', 'abandon_requested', 'succeeded', 'cancelled'];
      expect(after(events, 'cancel_requested').filter((type) => !allowed.includes(type))).toEqual([]);
    });
  });

  it('ends at once what nobody holds, unless its time is over', () => {
    always(({ before, after: job, command, now }) => {
      if (command.action !== 'cancel' || isHeld(before) || isTerminal(before.state)) return;
      expect(job.state).toBe(isLate(before, now) ? 'FAILED' : 'CANCELLED');
    });
  });
});

describe('a time', () => {
  it('acts at its instant: no holder does anything at or after the end of its lease', () => {
    always(({ before, command, now }) => {
      if ('fence' in command && 'lease' in before) expect(now).toBeLessThan(leaseEnd(before.lease));
    });
  });

  it('is never passed by a renewal', () => {
    always(({ after: job }) => {
      if (!('lease' in job)) return;
      const { expiresAt, cancelDeadline, runUntil, lifeUntil } = job.lease;
      expect(lifeUntil).toBe(job.lifeUntil);
      for (const bound of [cancelDeadline, runUntil, lifeUntil]) if (bound !== null) expect(expiresAt).toBeLessThanOrEqual(bound);
    });
  });

  it('of a life outlasts every state but the end', () => {
    always(({ before, after: job }) => {
      if (job.life === before.life) expect(job.lifeUntil).toBe(before.lifeUntil);
    });
  });

  it('of a job that waits ends it once it has come, and not before', () => {
    always(({ before, command, now }) => {
      if (command.action !== 'time_out') return;
      const end = before.state === 'READY' ? before.giveUpAt : before.lifeUntil;
      expect(end).not.toBeNull();
      expect(end).toBeLessThanOrEqual(now);
    });
    always(({ before, command, now }) => {
      if (command.action === 'claim' && before.state === 'READY' && before.giveUpAt !== null) expect(now).toBeLessThan(before.giveUpAt);
    });
  });
});

describe('a disposition', () => {
  const lost = ['RETRY_WAIT', 'READY', 'SCHEDULED', 'SUSPENDED', 'LEASED', 'RUNNING'];

  it('of an owner-bound job lets nobody run it again that was started and lost', () => {
    always(({ before, after: job, command, now }) => {
      if (!('lease' in before) || leaseEnd(before.lease) > now) return;
      if (before.rules.disposition !== 'OWNER_BOUND' || !before.wasStarted) return;
      // A retry by hand is another life, of one that failed for good.
      if (command.action !== 'retry') expect(lost).not.toContain(job.state);
    });
  });

  it('of an externally owned job gives it to nobody, and lets its owner alone complete it', () => {
    always(({ before, command }) => {
      const isExternal = before.rules.disposition === 'EXTERNALLY_OWNED';
      if (command.action === 'claim') expect(isExternal).toBe(false);
      if (command.action === 'complete_externally') expect(isExternal).toBe(true);
    });
  });

  it('goes by a request to abandon: what was asked to be and then lost is not tried again', () => {
    always(({ before, after: job, command, now }) => {
      if ('lease' in before && leaseEnd(before.lease) <= now && before.abandonReason !== null && command.action !== 'retry') {
        expect(lost).not.toContain(job.state);
      }
    });
    inEachLife((events) => expect(after(events, 'abandoned')).toEqual([]));
  });
});

describe('a crash loop', () => {
  const rules: Rules = {
    policy: { ...DEFAULT_RETRY_POLICY, maxAttempts: MAX_ATTEMPTS },
    deadLetterEnabled: true,
    cancellationBudgetMs: 30_000,
    timeouts: NO_TIMEOUTS,
    disposition: 'RERUNNABLE',
  };

  it('ends the job as FAILED', () => {
    let now = 1_000_000;
    let job = begin({ rules, runAt: null, now });
    const crash: Command[] = [
      { action: 'claim', start: true, epoch: 1, durationMs: 30_000, graceMs: 5_000 },
      { action: 'expire', jitterFactor: 0.5 },
      { action: 'promote' },
    ];
    for (const command of [...crash, ...crash, ...crash]) {
      const decision = decide(job, command, now);
      if (decision.kind === 'applied') ({ job } = decision);
      now += 40_000_000;
    }
    expect(job).toMatchObject({ state: 'FAILED', attempt: MAX_ATTEMPTS });
  });
});
