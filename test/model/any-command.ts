/** What fast-check chooses from: small numbers, so that commands meet each other's jobs, keys and times. */
import fc from 'fast-check';
import type { Via } from './real.ts';
import * as commands from './commands.ts';
import { failureOf } from './commands.ts';
import { append } from './event-commands.ts';
import * as operators from './operator-commands.ts';
import * as workers from './worker-commands.ts';

const via = fc.constantFrom<Via>(0, 1);
const leasePick = fc.record({ job: fc.nat(20), held: fc.boolean(), older: fc.constantFrom(0, 0, 0, 1) });
const jobPick = fc.record({
  job: fc.nat(20),
  apt: fc.constantFrom(true, true, false),
  requestId: fc.constantFrom(null, null, null, 'r1', 'r2'),
});
const reason = fc.constantFrom('', 'because', 'ünsafe "quotes"');
const checkpoint = fc.constantFrom(null, null, 'c1', 'c2');
const failure = fc
  .tuple(fc.constantFrom('boom', 'boom', 'never'), fc.constantFrom('RETRYABLE' as const, 'RETRYABLE' as const, 'TERMINAL' as const))
  .map(([code, kind]) => failureOf(code, kind));

const timeouts = fc.record({
  scheduleToStartMs: fc.constantFrom(null, null, null, 1_500, 5_000),
  startToCloseMs: fc.constantFrom(null, null, null, 500, 7_000),
  scheduleToCloseMs: fc.constantFrom(null, null, null, 5_000, 12_000, 30_000),
});

const enqueue = fc
  .tuple(
    via,
    fc.record({
      priority: fc.constantFrom(0, 0, 0, 5, -5, 2_147_483_647, -2_147_483_648),
      runInMs: fc.constantFrom(null, null, null, 3_000, -1_000),
      key: fc.constantFrom(null, null, 'k1', 'k2'),
      scope: fc.constantFrom('RETAINED' as const, 'UNTIL_TERMINAL' as const),
      content: fc.constantFrom('a' as const, 'a' as const, 'b' as const),
      maxAttempts: fc.constantFrom(null, null, 1, 2),
      onDuplicate: fc.constantFrom('RETURN_EXISTING' as const, 'RETURN_EXISTING' as const, 'REJECT' as const),
      disposition: fc.constantFrom('RERUNNABLE' as const, 'RERUNNABLE' as const, 'OWNER_BOUND' as const, 'EXTERNALLY_OWNED' as const),
      timeouts,
    }),
  )
  .map(([to, told]) => commands.enqueue(to, told));

const claim = fc
  .tuple(
    via,
    fc.record({
      maxJobs: fc.integer({ min: 1, max: 3 }),
      start: fc.constantFrom(true, true, false),
      leaseDurationMs: fc.constantFrom(1_000, 30_000),
    }),
  )
  .map(([to, told]) => commands.claim(to, told));

const settlements = [
  fc.tuple(via, leasePick).map(([to, pick]) => workers.ack(to, pick)),
  fc
    .tuple(via, leasePick, fc.record({ failure, retryAfterMs: fc.constantFrom(null, null, 0, 1_500) }))
    .map(([to, pick, told]) => workers.fail(to, pick, told)),
  fc.tuple(via, leasePick, fc.constantFrom(0, 0, 2_500)).map(([to, pick, delayMs]) => workers.release(to, pick, delayMs)),
  fc.tuple(via, leasePick, fc.record({ reason, checkpoint })).map(([to, pick, told]) => workers.suspend(to, pick, told)),
];

const holding = [
  fc.tuple(via, leasePick).map(([to, pick]) => workers.start(to, pick)),
  fc.tuple(via, leasePick, checkpoint).map(([to, pick, left]) => workers.heartbeat(to, pick, left)),
];

const change = fc
  .record(
    { priority: fc.constantFrom(0, 5, -5, 2_147_483_647), runInMs: fc.constantFrom(null, -1_000, 0, 2_000, 9_000) },
    { requiredKeys: [] },
  )
  .filter((told) => 'priority' in told || 'runInMs' in told);

const operations = [
  fc.tuple(via, jobPick, reason).map(([to, pick, why]) => operators.cancel(to, pick, why)),
  fc.tuple(via, jobPick, change).map(([to, pick, told]) => operators.update(to, pick, told)),
  fc.tuple(via, jobPick, reason).map(([to, pick, why]) => operators.retry(to, pick, why)),
  fc.tuple(via, jobPick, reason).map(([to, pick, why]) => operators.resume(to, pick, why)),
  fc.tuple(via, jobPick, reason).map(([to, pick, why]) => operators.requestAbandon(to, pick, why)),
  fc
    .tuple(
      via,
      jobPick,
      fc.record({
        end: fc.constantFrom('success' as const, 'failure' as const, 'cancellation' as const),
        authority: fc.constantFrom('bank', 'court'),
      }),
    )
    .map(([to, pick, told]) => operators.completeExternally(to, pick, told)),
];

const advance = fc.constantFrom(1, 999, 1_500, 4_000, 6_000, 36_000).map(commands.advance);
const upkeep = via.map(commands.upkeep);

const facts = fc
  .tuple(
    via,
    fc.record({
      job: fc.nat(20),
      by: fc.constantFrom('stranger' as const, 'holder' as const),
      type: fc.constantFrom('note', 'note', 'other'),
      replayKey: fc.constantFrom(null, null, 'k1', 'k2'),
    }),
  )
  .map(([to, told]) => append(to, told));

/** What moves jobs on stands here more than once: else most commands would find nothing to do. */
export const anyCommand = [enqueue, enqueue, claim, claim, facts, ...holding, ...settlements, ...operations, advance, advance, upkeep];
