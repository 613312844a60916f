/** Random lives of one job, played on the pure rules alone. */
import fc from 'fast-check';
import { begin, decide } from '../../src/domain/decide.ts';
import type { EventDetail } from '../../src/domain/event.ts';
import type { Disposition, Failure, Micros } from '../../src/domain/job.ts';
import { DEFAULT_RETRY_POLICY } from '../../src/domain/retry.ts';
import type { Command, Rules, TokenState } from '../../src/domain/token-state.ts';

export const MAX_ATTEMPTS = 3;

const reason = fc.constantFrom('', 'because');
const failure = fc
  .record({ code: fc.constantFrom('x', 'never'), kind: fc.constantFrom('RETRYABLE' as const, 'TERMINAL' as const) })
  .map(({ code, kind }): Failure => ({ code, kind, message: '', details: new Uint8Array() }));
const evidence = { authority: 'court', data: new Uint8Array(), contentType: '' };

/** A command before it is known which lease it names and what time it is: `fence` counts back from the job's own. */
type Told =
  | { readonly stale: boolean; readonly make: (fence: bigint, now: Micros) => Command }
  | { readonly make: (fence: bigint, now: Micros) => Command };

const always = (command: Command): fc.Arbitrary<Told> => fc.constant({ make: () => command });

const ofHolder = (make: fc.Arbitrary<Told['make']>): fc.Arbitrary<Told> =>
  fc.record({ stale: fc.constantFrom(false, false, false, true), make });

const holderCommand = fc.oneof(
  ofHolder(fc.constant((fence) => ({ action: 'start', fence }))),
  ofHolder(fc.constant((fence) => ({ action: 'heartbeat', fence }))),
  ofHolder(fc.constant((fence) => ({ action: 'ack', fence }))),
  ofHolder(
    fc.record({ failure, retryAfterMs: fc.constantFrom(null, 0) }).map((told) => (fence) => ({
      ...{ action: 'fail', fence, jitterFactor: 0.7 },
      ...told,
    })),
  ),
  ofHolder(fc.constantFrom(0, 5_000).map((delayMs) => (fence) => ({ action: 'release', fence, delayMs }))),
  ofHolder(reason.map((why) => (fence) => ({ action: 'suspend', fence, reason: why }))),
);

const change = fc.record({ priority: fc.constantFrom(1, 2), runInMs: fc.constantFrom(null, -1_000, 3_000) }, { requiredKeys: [] });

const operatorCommand: fc.Arbitrary<Told> = fc.oneof(
  fc
    .tuple(fc.constantFrom('cancel' as const, 'retry' as const, 'resume' as const, 'request_abandon' as const), reason)
    .map(([action, why]) => ({ make: (): Command => ({ action, reason: why }) })),
  change.map(({ runInMs, ...rest }) => ({
    make: (_fence: bigint, now: Micros): Command => ({
      action: 'update',
      change: runInMs === undefined ? rest : { ...rest, runAt: runInMs === null ? null : now + runInMs * 1_000 },
    }),
  })),
  fc
    .oneof(
      fc.constant({ state: 'SUCCEEDED' as const }),
      failure.map((told) => ({ state: 'FAILED' as const, failure: told })),
      reason.map((why) => ({ state: 'CANCELLED' as const, reason: why })),
    )
    .map((end) => ({ make: (): Command => ({ action: 'complete_externally', evidence, end }) })),
);

const claim = fc
  .record({ start: fc.boolean(), epoch: fc.constantFrom(1, 2), durationMs: fc.constantFrom(1_000, 30_000) })
  .map((told): Told => ({ make: () => ({ action: 'claim', graceMs: 5_000, ...told }) }));

const clockCommand = fc.oneof(
  always({ action: 'promote' }),
  { arbitrary: claim, weight: 5 },
  always({ action: 'expire', jitterFactor: 0.5 }),
  always({ action: 'time_out' }),
);

/** Of several commands the first that is not refused counts: a walk of refusals would see little. */
const step = fc.record({
  told: fc.array(
    fc.oneof({ arbitrary: clockCommand, weight: 4 }, { arbitrary: holderCommand, weight: 4 }, { arbitrary: operatorCommand, weight: 3 }),
    { minLength: 1, maxLength: 6, size: 'max' },
  ),
  advanceMs: fc.constantFrom(0, 0, 0, 0, 0, 1, 1_000, 4_000, 40_000),
});

const anyDisposition: fc.Arbitrary<Disposition> = fc.constantFrom(
  'RERUNNABLE',
  'RERUNNABLE',
  'OWNER_BOUND',
  'OWNER_BOUND',
  'EXTERNALLY_OWNED',
);

const anyRules: fc.Arbitrary<Rules> = fc.record({
  policy: fc.constant({ ...DEFAULT_RETRY_POLICY, maxAttempts: MAX_ATTEMPTS, nonRetryableCodes: ['never'] }),
  deadLetterEnabled: fc.boolean(),
  cancellationBudgetMs: fc.constantFrom(0, 3_000, 30_000),
  timeouts: fc.record({
    scheduleToStartMs: fc.constantFrom(null, null, null, 2_000),
    startToCloseMs: fc.constantFrom(null, null, 500, 5_000),
    scheduleToCloseMs: fc.constantFrom(null, null, 8_000, 60_000),
  }),
  disposition: anyDisposition,
});

/** A command that was not refused, and what came of it. */
export interface Step {
  readonly before: TokenState;
  readonly command: Command;
  readonly isStale: boolean;
  readonly now: Micros;
  readonly after: TokenState;
  readonly events: readonly EventDetail[];
}

const START: Micros = 1_000_000;

/** A job with random rules, and what happened to it. */
export const anyWalk: fc.Arbitrary<readonly Step[]> = fc
  .record({ rules: anyRules, runInMs: fc.constantFrom(null, null, 2_000), steps: fc.array(step, { maxLength: 60, size: 'max' }) })
  .map(({ rules, runInMs, steps }) => {
    let now = START;
    let job = begin({ rules, runAt: runInMs === null ? null : START + runInMs * 1_000, now });
    return steps.flatMap(({ told, advanceMs }) => {
      now += advanceMs * 1_000;
      const taken = firstTaken(job, told, now);
      if (taken === null) return [];
      job = taken.after;
      return [taken];
    });
  });

function firstTaken(before: TokenState, told: readonly Told[], now: Micros): Step | null {
  for (const one of told) {
    const isStale = 'stale' in one && one.stale;
    const command = one.make(isStale ? before.fence - 1n : before.fence, now);
    const decision = decide(before, command, now);
    if (decision.kind === 'applied') return { before, command, isStale, now, after: decision.job, events: decision.events };
  }
  return null;
}
