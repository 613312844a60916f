/** What a `PutQueue` sets, field by field, as its mask names them. */
import { LIMITS } from '../../domain/limits.ts';
import { RETENTION_MS } from '../../domain/retention.ts';
import { type ConcurrencyPolicy, DEFAULT_SETTINGS, type QueueMode, type QueueSettings, type RateLimit } from '../../domain/queue.ts';
import {
  ConcurrencyPolicy as WirePolicy,
  QueueMode as WireMode,
  type Queue as WireQueue,
  type RateLimit as WireRateLimit,
} from '../../../gen/stint/v1/queue.ts';
import { RetryPolicy as WireRetryPolicy } from '../../../gen/stint/v1/retry.ts';
import type { Fields } from '../fields.ts';
import { readRetryPolicy } from '../decode.ts';

const DAY_MS = 86_400_000;
const BOUND = { min: 1, max: 2 ** 31 - 1 };
const SLOTS = { min: 1, max: LIMITS.concurrencyPerKey };
const BUDGET_MS = { min: 0, max: DAY_MS };
const LEASE_MS = { min: LIMITS.leaseDurationMinMs, max: LIMITS.leaseDurationMaxMs };
const GRACE_MS = { min: 0, max: 3_600_000 };
const PERIOD_MS = { min: 1_000, max: DAY_MS };
const WEIGHT = { min: 1, max: LIMITS.fairnessWeight };
const PAYLOAD_BYTES = { min: 0, max: LIMITS.payloadBytes };

type Apply = (former: QueueSettings) => QueueSettings;
type Read = (fields: Fields, queue: WireQueue) => Apply;

const set =
  (told: Partial<QueueSettings>): Apply =>
  (former) => ({ ...former, ...told });

const setRetry =
  (told: Partial<QueueSettings['retry']>): Apply =>
  (former) => ({ ...former, retry: { ...former.retry, ...told } });

const MODES: Readonly<Record<number, QueueMode>> = {
  [WireMode.UNSPECIFIED]: 'PUSH_PULL',
  [WireMode.PULL_ONLY]: 'PULL_ONLY',
  [WireMode.PUSH_ONLY]: 'PUSH_ONLY',
  [WireMode.PUSH_PULL]: 'PUSH_PULL',
};

const POLICIES: Readonly<Record<number, ConcurrencyPolicy>> = {
  [WirePolicy.UNSPECIFIED]: 'RELEASE',
  [WirePolicy.RELEASE]: 'RELEASE',
  [WirePolicy.HOLD]: 'HOLD',
};

const bound = (fields: Fields, field: string, value: number | undefined): number | null =>
  value === undefined ? null : fields.integer(field, value, BOUND);

const { retry: RETRY, ...REST } = DEFAULT_SETTINGS;

const NO_RETRY = WireRetryPolicy.fromPartial({});

/** One of the policy, read as if it stood alone: unset means its default. */
const retryField =
  (wire: keyof WireRetryPolicy, key: keyof QueueSettings['retry']): Read =>
  (fields, { retry = NO_RETRY }) => {
    const told = readRetryPolicy(fields, { ...NO_RETRY, [wire]: retry[wire] })[key];
    return setRetry({ [key]: told ?? RETRY[key] });
  };

/** By the path of the mask; those below `retry` and `dead_letter` also together. */
const READERS: Readonly<Record<string, Read>> = {
  mode: (fields, { mode }) => set({ mode: fields.choice<QueueMode>('mode', mode, MODES, 'PUSH_PULL') }),
  max_in_flight: (fields, { maxInFlight }) => set({ maxInFlight: bound(fields, 'max_in_flight', maxInFlight) }),
  max_in_flight_per_worker: (fields, { maxInFlightPerWorker }) =>
    set({ maxInFlightPerWorker: bound(fields, 'max_in_flight_per_worker', maxInFlightPerWorker) }),
  max_queued: (fields, { maxQueued }) => set({ maxQueued: bound(fields, 'max_queued', maxQueued) }),
  cancellation_budget: (fields, { cancellationBudget }) =>
    set({ cancellationBudgetMs: fields.durationMs('cancellation_budget', cancellationBudget, BUDGET_MS) ?? REST.cancellationBudgetMs }),
  lease_duration: (fields, { leaseDuration }) =>
    set({ leaseDurationMs: fields.durationMs('lease_duration', leaseDuration, LEASE_MS) ?? REST.leaseDurationMs }),
  lease_grace: (fields, { leaseGrace }) =>
    set({ leaseGraceMs: fields.durationMs('lease_grace', leaseGrace, GRACE_MS) ?? REST.leaseGraceMs }),
  'retry.max_attempts': retryField('maxAttempts', 'maxAttempts'),
  'retry.initial_backoff': retryField('initialBackoff', 'initialBackoffMs'),
  'retry.multiplier': retryField('multiplier', 'multiplier'),
  'retry.max_backoff': retryField('maxBackoff', 'maxBackoffMs'),
  'retry.jitter': retryField('jitter', 'jitter'),
  'retry.non_retryable_codes': retryField('nonRetryableCodes', 'nonRetryableCodes'),
  'dead_letter.enabled': (_fields, { deadLetter }) => set({ deadLetterEnabled: deadLetter?.enabled ?? REST.deadLetterEnabled }),
  'dead_letter.queue': (fields, { deadLetter }) =>
    set({ deadLetterQueue: fields.within('dead_letter').nameOr('queue', deadLetter?.queue ?? '', '') }),
  'dead_letter.max_payload_bytes': (fields, { deadLetter }) => {
    const bytes = deadLetter?.maxPayloadBytes ?? REST.deadLetterPayloadBytes;
    return set({ deadLetterPayloadBytes: fields.within('dead_letter').integer('max_payload_bytes', bytes, PAYLOAD_BYTES) });
  },
  concurrency_per_key: (fields, { concurrencyPerKey }) =>
    set({ concurrencyPerKey: fields.integer('concurrency_per_key', concurrencyPerKey ?? REST.concurrencyPerKey, SLOTS) }),
  concurrency_policy: (fields, { concurrencyPolicy }) =>
    set({ concurrencyPolicy: fields.choice<ConcurrencyPolicy>('concurrency_policy', concurrencyPolicy, POLICIES, 'RELEASE') }),
  retention: (fields, { retention }) =>
    set({ retentionMs: fields.durationMs('retention', retention, RETENTION_MS) ?? RETENTION_MS.default }),
  rate_limit: (fields, { rateLimit }) =>
    set({ rateLimit: rateLimit === undefined ? null : readRateLimit(fields.within('rate_limit'), rateLimit) }),
  fairness_weights: (fields, { fairnessWeights }) => set({ fairnessWeights: readWeights(fields, fairnessWeights) }),
};

const PATHS = Object.keys(READERS);
const OUTPUT_ONLY = ['status', 'status_reason', 'created_at', 'updated_at'];

/** How the settings become what the request says; without a mask all of them. What a mask leaves out is not looked at. */
export function readSettings(request: Fields, fields: Fields, queue: WireQueue, mask: readonly string[] | undefined): Apply {
  const isWhole = mask === undefined || mask.length === 0;
  const paths = isWhole ? PATHS : [...new Set(mask.flatMap((path) => named(request, path)))];
  const changes = paths.map((path) => READERS[path]?.(fields, queue) ?? set({}));
  return (former) => changes.reduce((settings, change) => change(settings), former);
}

/** The paths that one of the mask stands for. */
function named(request: Fields, path: string): readonly string[] {
  const paths = PATHS.filter((one) => one === path || one.startsWith(`${path}.`));
  if (paths.length > 0) return paths;
  if (path === 'name') request.refuse('update_mask', 'cannot hold name: a queue keeps it');
  else if (OUTPUT_ONLY.includes(path)) request.refuse('update_mask', `cannot hold ${path}: it is output only`);
  else request.refuse('update_mask', `holds ${path}, and there is: ${PATHS.join(', ')}, retry, dead_letter`);
  return [];
}

function readWeights(fields: Fields, weights: WireQueue['fairnessWeights']): QueueSettings['fairnessWeights'] {
  const field = 'fairness_weights';
  const keys = Object.keys(weights);
  if (keys.length > LIMITS.fairnessWeights) fields.refuse(field, `must have at most ${LIMITS.fairnessWeights} keys`);
  for (const [key, weight] of Object.entries(weights)) {
    fields.requiredText(field, key, LIMITS.keyBytes);
    fields.integer(field, weight, WEIGHT);
  }
  return weights;
}

function readRateLimit(fields: Fields, { permits, period, burst, perKey }: WireRateLimit): RateLimit {
  return {
    perKey,
    permits: fields.integer('permits', permits, BOUND),
    periodMs: fields.durationMs('period', period, PERIOD_MS) ?? PERIOD_MS.min,
    burst: burst === undefined ? permits : fields.integer('burst', burst, BOUND),
  };
}
