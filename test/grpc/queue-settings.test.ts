import { describe, expect, it } from 'vitest';
import type { Queue, QueueMode } from '../../gen/stint/v1/queue.ts';
import { PutQueueRequest } from '../../gen/stint/v1/queue_service.ts';
import { type Refusal, RefusalError } from '../../src/domain/error.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { DEFAULT_SETTINGS, type QueueSettings } from '../../src/domain/queue.ts';
import { putQueue } from '../../src/grpc/queues/put-queue.ts';
import { wireQueue } from '../../src/grpc/queues/queue.ts';
import { anyCall, stubEngine } from './stub-engine.ts';

type QueuePartial = Parameters<typeof Queue.fromPartial>[0];
const seconds = (value: number) => ({ seconds: BigInt(Math.floor(value)), nanos: Math.round((value % 1) * 1e9) });

/** Every setting is another than by default. */
const OTHER: QueueSettings = {
  mode: 'PULL_ONLY',
  maxInFlight: 3,
  maxInFlightPerWorker: 2,
  maxQueued: 4,
  rateLimit: { perKey: true, permits: 5, periodMs: 6_000, burst: 7 },
  concurrencyPerKey: 6,
  concurrencyPolicy: 'HOLD',
  cancellationBudgetMs: 8_000,
  leaseDurationMs: 9_000,
  leaseGraceMs: 10_000,
  retry: { maxAttempts: 11, initialBackoffMs: 12_000, multiplier: 13, maxBackoffMs: 14_000, jitter: false, nonRetryableCodes: ['a', 'b'] },
  deadLetterEnabled: false,
  deadLetterQueue: 'dead',
  deadLetterPayloadBytes: 15,
  fairnessWeights: { tenant: 16 },
  retentionMs: 160_000,
};

const asQueue = (settings: QueueSettings) =>
  wireQueue({ namespace: 'n', name: 'q', settings, status: 'ACTIVE', statusReason: 'why', createdAt: 1, updatedAt: 2 });

/** What a queue with these settings has after the request. */
async function put(queue: QueuePartial, mask: string[] | undefined, former: QueueSettings): Promise<QueueSettings> {
  const told: QueueSettings[] = [];
  const engine = stubEngine({
    queues: {
      putQueue: async ({ change }) => {
        const changed = change(former);
        if ('refusal' in changed) return { ok: false, refusal: changed.refusal };
        told.push(changed.settings);
        return { ok: true, value: { queue: null, changed: true } };
      },
    },
  });
  const request = PutQueueRequest.fromPartial({ queue: { name: 'q', ...queue } });
  await putQueue(engine)({ ...request, updateMask: mask }, anyCall());
  return told[0] ?? expect.unreachable();
}

async function refusalOf(queue: QueuePartial, mask?: string[], former = DEFAULT_SETTINGS): Promise<Refusal> {
  const error: unknown = await put(queue, mask, former).catch((cause: unknown) => cause);
  if (error instanceof RefusalError) return error.refusal;
  throw new Error('the request was accepted');
}

async function fieldsOf(...told: Parameters<typeof refusalOf>): Promise<readonly string[]> {
  const refusal = await refusalOf(...told);
  return refusal.kind === 'invalid_field' ? refusal.violations.map(({ field }) => field) : [refusal.kind];
}

/** By each path of the mask, what it alone changes. */
const PATHS: [string, (from: QueueSettings, to: QueueSettings) => QueueSettings][] = [
  ['mode', (from, { mode }) => ({ ...from, mode })],
  ['max_in_flight', (from, { maxInFlight }) => ({ ...from, maxInFlight })],
  ['max_queued', (from, { maxQueued }) => ({ ...from, maxQueued })],
  ['rate_limit', (from, { rateLimit }) => ({ ...from, rateLimit })],
  ['fairness_weights', (from, { fairnessWeights }) => ({ ...from, fairnessWeights })],
  ['cancellation_budget', (from, { cancellationBudgetMs }) => ({ ...from, cancellationBudgetMs })],
  ['lease_duration', (from, { leaseDurationMs }) => ({ ...from, leaseDurationMs })],
  ['lease_grace', (from, { leaseGraceMs }) => ({ ...from, leaseGraceMs })],
  ['retention', (from, { retentionMs }) => ({ ...from, retentionMs })],
  ['retry', (from, { retry }) => ({ ...from, retry })],
  ['retry.max_attempts', (from, to) => ({ ...from, retry: { ...from.retry, maxAttempts: to.retry.maxAttempts } })],
  ['retry.initial_backoff', (from, to) => ({ ...from, retry: { ...from.retry, initialBackoffMs: to.retry.initialBackoffMs } })],
  ['retry.multiplier', (from, to) => ({ ...from, retry: { ...from.retry, multiplier: to.retry.multiplier } })],
  ['retry.max_backoff', (from, to) => ({ ...from, retry: { ...from.retry, maxBackoffMs: to.retry.maxBackoffMs } })],
  ['retry.jitter', (from, to) => ({ ...from, retry: { ...from.retry, jitter: to.retry.jitter } })],
  ['retry.non_retryable_codes', (from, to) => ({ ...from, retry: { ...from.retry, nonRetryableCodes: to.retry.nonRetryableCodes } })],
  [
    'dead_letter',
    (from, { deadLetterEnabled, deadLetterQueue, deadLetterPayloadBytes }) => ({
      ...from,
      ...{ deadLetterEnabled, deadLetterQueue, deadLetterPayloadBytes },
    }),
  ],
  ['dead_letter.enabled', (from, { deadLetterEnabled }) => ({ ...from, deadLetterEnabled })],
  ['dead_letter.queue', (from, { deadLetterQueue }) => ({ ...from, deadLetterQueue })],
  ['dead_letter.max_payload_bytes', (from, { deadLetterPayloadBytes }) => ({ ...from, deadLetterPayloadBytes })],
];

describe('PutQueue', () => {
  it('without a mask sets all that a queue tells of itself', async () => {
    expect(await put(asQueue(OTHER), undefined, DEFAULT_SETTINGS)).toEqual(OTHER);
    expect(await put(asQueue(OTHER), [], DEFAULT_SETTINGS)).toEqual(OTHER);
  });

  it('without a mask sets what is unset to its default', async () => {
    expect(await put({}, undefined, OTHER)).toEqual(DEFAULT_SETTINGS);
    expect(await put({ retry: {}, deadLetter: {} }, undefined, OTHER)).toEqual(DEFAULT_SETTINGS);
  });

  it.each(PATHS)('with the mask %s sets that alone, and when it is unset to its default', async (path, alone) => {
    expect(await put(asQueue(OTHER), [path], DEFAULT_SETTINGS)).toEqual(alone(DEFAULT_SETTINGS, OTHER));
    expect(await put({}, [path], OTHER)).toEqual(alone(OTHER, DEFAULT_SETTINGS));
  });

  it('with several paths sets each of them, those that overlap as well', async () => {
    const { maxInFlight, retry } = OTHER;
    const mask = ['retry.jitter', 'retry', 'max_in_flight', 'max_in_flight'];
    expect(await put(asQueue(OTHER), mask, DEFAULT_SETTINGS)).toEqual({ ...DEFAULT_SETTINGS, maxInFlight, retry });
  });

  it('does not look at what its mask leaves out', async () => {
    const queue = {
      maxInFlight: 0,
      maxQueued: 5,
      retention: seconds(59),
      concurrencyPerKey: 2,
      retry: { maxAttempts: -1 },
      leaseGrace: seconds(-1),
    };
    expect(await put(queue, ['max_queued'], DEFAULT_SETTINGS)).toEqual({ ...DEFAULT_SETTINGS, maxQueued: 5 });
    const retry = { maxAttempts: 0, initialBackoff: seconds(50), maxBackoff: seconds(1), jitter: false };
    const { retry: read } = await put({ retry }, ['retry.jitter'], DEFAULT_SETTINGS);
    expect(read).toEqual({ ...DEFAULT_SETTINGS.retry, jitter: false });
  });

  it('takes each value at its bounds', async () => {
    const most = 2 ** 31 - 1;
    const [day, nothing] = [seconds(86_400), seconds(0)];
    const least = await put(
      {
        ...{ maxInFlight: 1, maxQueued: 1, cancellationBudget: nothing, leaseDuration: seconds(1), leaseGrace: nothing },
        retry: { maxAttempts: 1, initialBackoff: nothing, maxBackoff: nothing, multiplier: 1 },
        deadLetter: { maxPayloadBytes: 0 },
        rateLimit: { perKey: false, permits: 1, period: seconds(1), burst: 1 },
      },
      undefined,
      DEFAULT_SETTINGS,
    );
    expect(least).toMatchObject({ maxInFlight: 1, cancellationBudgetMs: 0, leaseGraceMs: 0, deadLetterPayloadBytes: 0 });
    const greatest = await put(
      {
        ...{ maxInFlight: most, maxQueued: most, cancellationBudget: day, leaseDuration: day, leaseGrace: seconds(3_600) },
        deadLetter: { maxPayloadBytes: LIMITS.payloadBytes },
        rateLimit: { perKey: false, permits: most, period: day, burst: most },
      },
      undefined,
      DEFAULT_SETTINGS,
    );
    expect(greatest).toMatchObject({ maxInFlight: most, cancellationBudgetMs: 86_400_000, deadLetterPayloadBytes: LIMITS.payloadBytes });
  });

  it('takes a rate of so many a second, and of so many at once, where the rest is unset', async () => {
    const { rateLimit } = await put({ rateLimit: { perKey: false, permits: 20 } }, undefined, DEFAULT_SETTINGS);
    expect(rateLimit).toEqual({ perKey: false, permits: 20, periodMs: 1_000, burst: 20 });
  });
});

/** A number that stands for nothing, as a newer client may send it. */
const unheardOf: QueueMode = JSON.parse('77');
const malformed = { seconds: 1n, nanos: -1 };

const BAD: [string, QueuePartial][] = [
  ...['', 'no spaces', 'a/b', 'x'.repeat(129)].map((name): [string, QueuePartial] => ['queue.name', { name }]),
  ['queue.mode', { mode: unheardOf }],
  ...[0, -1, -(2 ** 31)].flatMap((bound): [string, QueuePartial][] => [
    ['queue.max_in_flight', { maxInFlight: bound }],
    ['queue.max_queued', { maxQueued: bound }],
    ['queue.rate_limit.permits', { rateLimit: { perKey: false, permits: bound } }],
    ['queue.rate_limit.burst', { rateLimit: { perKey: false, permits: 1, burst: bound } }],
    ['queue.retry.max_attempts', { retry: { maxAttempts: bound } }],
  ]),
  ...[seconds(-1), seconds(86_401), malformed].flatMap((time): [string, QueuePartial][] => [
    ['queue.cancellation_budget', { cancellationBudget: time }],
    ['queue.lease_duration', { leaseDuration: time }],
    ['queue.lease_grace', { leaseGrace: time }],
    ['queue.rate_limit.period', { rateLimit: { perKey: false, permits: 1, period: time } }],
  ]),
  ...[seconds(-1), seconds(59.999), seconds(3_650 * 86_400 + 0.001), malformed].map((time): [string, QueuePartial] => [
    'queue.retention',
    { retention: time },
  ]),
  ['queue.lease_duration', { leaseDuration: seconds(0.999) }],
  ['queue.lease_grace', { leaseGrace: seconds(3_601) }],
  ['queue.rate_limit.period', { rateLimit: { perKey: false, permits: 1, period: seconds(0.5) } }],
  ['queue.rate_limit.permits', { rateLimit: {} }],
  ['queue.fairness_weights', { fairnessWeights: { k: 0 } }],
  ['queue.fairness_weights', { fairnessWeights: { k: LIMITS.fairnessWeight + 1 } }],
  ['queue.fairness_weights', { fairnessWeights: { '': 1 } }],
  ['queue.fairness_weights', { fairnessWeights: { 'a\0': 1 } }],
  ['queue.fairness_weights', { fairnessWeights: { ['k'.repeat(LIMITS.keyBytes + 1)]: 1 } }],
  ['queue.fairness_weights', { fairnessWeights: Object.fromEntries(Array.from({ length: LIMITS.fairnessWeights + 1 }, (_, n) => [n, 1])) }],
  ['queue.retry.initial_backoff', { retry: { initialBackoff: seconds(-1) } }],
  ['queue.retry.initial_backoff', { retry: { initialBackoff: malformed } }],
  ['queue.retry.max_backoff', { retry: { maxBackoff: seconds(367 * 86_400) } }],
  ['queue.retry.multiplier', { retry: { multiplier: 0.5 } }],
  ['queue.retry.multiplier', { retry: { multiplier: Number.NaN } }],
  ['queue.retry.non_retryable_codes[1]', { retry: { nonRetryableCodes: ['a', 'b c'] } }],
  ['queue.retry.non_retryable_codes', { retry: { nonRetryableCodes: Array.from({ length: 101 }, (_, n) => `c${n}`) } }],
  ['queue.dead_letter.queue', { deadLetter: { queue: 'no spaces' } }],
  ['queue.dead_letter.max_payload_bytes', { deadLetter: { maxPayloadBytes: -1 } }],
  ['queue.dead_letter.max_payload_bytes', { deadLetter: { maxPayloadBytes: LIMITS.payloadBytes + 1 } }],
  ['queue.retry.initial_backoff', { retry: { initialBackoff: seconds(2), maxBackoff: seconds(1) } }],
  ['queue.retry.initial_backoff', { retry: { initialBackoff: seconds(601) } }],
  ['queue.retry.initial_backoff', { retry: { maxBackoff: seconds(0.5) } }],
];

describe('PutQueue names, once, what is wrong', () => {
  it.each(BAD)('%s: %o', async (field, queue) => {
    expect(await fieldsOf(queue)).toEqual([field]);
  });

  it('and all of it together', async () => {
    expect(
      await fieldsOf({ name: '', maxQueued: 0, retry: { maxAttempts: 0, multiplier: 0 } }, ['mode', 'max_queued', 'retry', 'status']),
    ).toEqual(['update_mask', 'queue.max_queued', 'queue.retry.max_attempts', 'queue.retry.multiplier', 'queue.name']);
  });

  it.each([
    [{ initialBackoff: seconds(15) }, 'retry.initial_backoff'],
    [{ maxBackoff: seconds(11) }, 'retry.max_backoff'],
  ])('of two backoffs also when the other stood before: %o', async (retry, path) => {
    expect(await fieldsOf({ retry }, [path], OTHER)).toEqual(['queue.retry.initial_backoff']);
  });

  it.each([
    'name',
    'status',
    'status_reason',
    'created_at',
    'updated_at',
    'nonsense',
    '',
    'retr',
    'retry.',
    'retry.nonsense',
    'maxQueued',
    'mode.x',
  ])('in a mask with %j', async (path) => {
    expect(await fieldsOf(asQueue(OTHER), ['mode', path])).toEqual(['update_mask']);
  });
});
