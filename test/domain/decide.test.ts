import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { begin, decide, type Command, type TokenState } from '../../src/domain/decide.ts';
import { stateAfter, type EventDetail } from '../../src/domain/event.ts';
import { isTerminal, type JobState } from '../../src/domain/job.ts';
import { DEFAULT_RETRY_POLICY } from '../../src/domain/retry.ts';
import { isAllowed } from '../../src/domain/transition.ts';

const failure = (code: string, kind: 'RETRYABLE' | 'TERMINAL') => ({ code, message: '', details: new Uint8Array(), kind });

/** Commands whose token is the current one, or a stale one where `stale` says so. */
const anyCommand = fc.oneof(
  fc.record({ action: fc.constant('promote' as const) }),
  fc.record({ action: fc.constant('claim' as const), start: fc.boolean(), epoch: fc.constantFrom(1, 2) }),
  fc.record({ action: fc.constantFrom('start' as const, 'heartbeat' as const, 'ack' as const), stale: fc.boolean() }),
  fc.record({
    action: fc.constant('fail' as const),
    stale: fc.boolean(),
    kind: fc.constantFrom('RETRYABLE' as const, 'TERMINAL' as const),
  }),
  fc.record({ action: fc.constant('release' as const), stale: fc.boolean(), delayMs: fc.constantFrom(0, 5_000) }),
  fc.record({ action: fc.constant('expire' as const) }),
);

const steps = fc.array(fc.record({ command: anyCommand, advanceMs: fc.constantFrom(0, 1, 4_000, 40_000) }), { maxLength: 60 });

type Step = { readonly command: Parameters<Parameters<typeof anyCommand.map>[0]>[0]; readonly advanceMs: number };

function commandFor(job: TokenState, told: Step['command']): Command {
  const fence = 'stale' in told && told.stale ? job.fence - 1n : job.fence;
  switch (told.action) {
    case 'promote':
      return { action: 'promote' };
    case 'claim':
      return { action: 'claim', start: told.start, epoch: told.epoch, durationMs: 30_000, graceMs: 5_000 };
    case 'expire':
      return { action: 'expire', failure: failure('stint.lease_expired', 'RETRYABLE'), jitterFactor: 0.5 };
    case 'fail':
      return { action: 'fail', fence, failure: failure('x', told.kind), retryAfterMs: null, jitterFactor: 0.7 };
    case 'release':
      return { action: 'release', fence, delayMs: told.delayMs };
    case 'start':
    case 'heartbeat':
    case 'ack':
      return { action: told.action, fence };
  }
}

/** Plays the steps and hands each one that was applied to `look`. */
function play(
  told: readonly Step[],
  look: (before: TokenState, after: TokenState, events: readonly EventDetail[], command: Command) => void,
): TokenState {
  let now = 1_000_000;
  let job = begin({ policy: { ...DEFAULT_RETRY_POLICY, maxAttempts: 3 }, deadLetterEnabled: true, runAt: null, now });
  for (const { command: raw, advanceMs } of told) {
    now += advanceMs * 1_000;
    const command = commandFor(job, raw);
    const decision = decide(job, command, now);
    if (decision.kind === 'refused') continue;
    look(job, decision.job, decision.events, command);
    job = decision.job;
  }
  return job;
}

describe('the state machine', () => {
  it('moves only along its table, with one event for each transition', () => {
    fc.assert(
      fc.property(steps, (told) => {
        play(told, (before, after, events) => {
          let state: JobState = before.state;
          for (const event of events) {
            expect(isAllowed(state, event.type, stateAfter(event)), `${state} -${event.type}->`).toBe(true);
            state = stateAfter(event);
          }
          expect(state).toBe(after.state);
          expect(after.sequence).toBe(before.sequence + events.length);
        });
      }),
    );
  });

  it('never leaves a terminal state', () => {
    fc.assert(
      fc.property(steps, (told) => {
        play(told, (before) => expect(isTerminal(before.state)).toBe(false));
      }),
    );
  });

  it('never lowers a fence, and raises it with every claim', () => {
    fc.assert(
      fc.property(steps, (told) => {
        play(told, (before, after, _events, command) => {
          expect(after.fence >= before.fence).toBe(true);
          if (command.action === 'claim') expect(after.fence > before.fence).toBe(true);
        });
      }),
    );
  });

  it('changes nothing for a stale token', () => {
    fc.assert(
      fc.property(steps, (told) => {
        play(told, (before, _after, _events, command) => {
          if ('fence' in command) expect(command.fence).toBe(before.fence);
        });
      }),
    );
  });

  it('never spends more attempts than the policy has', () => {
    fc.assert(
      fc.property(steps, (told) => {
        expect(play(told, (_before, after) => expect(after.attempt).toBeLessThanOrEqual(3)).attempt).toBeLessThanOrEqual(3);
      }),
    );
  });

  it('ends a crash-looping job as FAILED', () => {
    const crash: Step[] = [
      { command: { action: 'claim', start: true, epoch: 1 }, advanceMs: 0 },
      { command: { action: 'expire' }, advanceMs: 40_000 },
      { command: { action: 'promote' }, advanceMs: 40_000 },
    ];
    expect(play([...crash, ...crash, ...crash], () => undefined).state).toBe('FAILED');
  });
});
