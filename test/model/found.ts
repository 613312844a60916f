/** Walks that once told the model and the service apart, and that chance finds seldom. */
import { NO_TIMEOUTS } from '../../src/domain/job.ts';
import { advance, claim, enqueue, upkeep, type EnqueueTold } from './commands.ts';
import { cancel, requestAbandon, resume, retry, update, type JobPick } from './operator-commands.ts';
import type { ModelCommand } from './step.ts';
import { heartbeat, start, suspend, type LeasePick } from './worker-commands.ts';

const job: EnqueueTold = {
  ...{ priority: 0, runInMs: null, key: null, scope: 'RETAINED', content: 'a', maxAttempts: null },
  ...{ onDuplicate: 'RETURN_EXISTING', disposition: 'RERUNNABLE', timeouts: NO_TIMEOUTS },
};
const theJob: JobPick = { job: 0, apt: false, requestId: null };
const itsLease: LeasePick = { job: 0, held: false, older: 0 };
const held = { maxJobs: 1, start: true, leaseDurationMs: 1_000 };

export const FOUND: readonly (readonly [string, readonly ModelCommand[]])[] = [
  ['peeks past its schedule_to_start', [enqueue(0, { ...job, timeouts: { ...NO_TIMEOUTS, scheduleToStartMs: 1_500 } }), advance(4_000)]],
  [
    'is updated when its lease has ended and nobody has swept it',
    [enqueue(0, job), claim(0, held), advance(36_000), update(1, theJob, { priority: 5 })],
  ],
  [
    'is retried when its lease has ended and nobody has swept it',
    [enqueue(0, { ...job, maxAttempts: 1 }), claim(0, held), advance(36_000), retry(1, theJob, '')],
  ],
  [
    'is retried when its lease has ended, its life is over too, and nobody has swept it',
    [
      enqueue(0, { ...job, timeouts: { ...NO_TIMEOUTS, scheduleToCloseMs: 12_000 } }),
      ...[claim(0, held), advance(36_000), retry(1, theJob, '')],
    ],
  ],
  [
    'is updated when its lease has ended, its life is over too, and nobody has swept it',
    [
      enqueue(0, { ...job, timeouts: { ...NO_TIMEOUTS, scheduleToCloseMs: 12_000 } }),
      ...[claim(0, held), advance(36_000), update(1, theJob, { priority: 5 })],
    ],
  ],
  [
    'is retried when it has waited past its time and nobody has swept it: behind what came meanwhile',
    [
      enqueue(0, { ...job, timeouts: { ...NO_TIMEOUTS, scheduleToCloseMs: 5_000 } }),
      ...[advance(6_000), enqueue(0, job), retry(0, theJob, '')],
    ],
  ],
  [
    'is abandoned when its lease has ended and nobody has swept it',
    [enqueue(0, job), claim(0, held), advance(36_000), requestAbandon(1, theJob, 'gone')],
  ],
  [
    'is cancelled again when its cancellation is due to be forced',
    [enqueue(0, job), claim(0, { ...held, leaseDurationMs: 30_000 }), cancel(0, theJob, ''), advance(36_000), cancel(1, theJob, '')],
  ],
  [
    'is started again after it was asked to be abandoned',
    [enqueue(0, job), claim(0, { ...held, start: false }), requestAbandon(0, theJob, ''), start(0, itsLease), start(1, itsLease)],
  ],
  [
    'is suspended and claimed again after it was asked to be abandoned',
    [
      ...[enqueue(0, job), claim(0, held), requestAbandon(0, theJob, ''), suspend(0, itsLease, { reason: 'later', checkpoint: 'c' })],
      ...[resume(1, theJob, ''), claim(1, held)],
    ],
  ],
  [
    'is claimed after an update of its time',
    [enqueue(0, { ...job, runInMs: 3_000 }), update(0, theJob, { runInMs: null }), claim(1, held)],
  ],
  [
    'expires before its cancellation is forced',
    [
      enqueue(0, job),
      claim(0, held),
      cancel(0, theJob, ''),
      advance(6_000),
      heartbeat(0, itsLease, null),
      upkeep(1),
      heartbeat(0, itsLease, null),
    ],
  ],
];
