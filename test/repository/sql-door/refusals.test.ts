/** What the door refuses, by the name of the argument, and what it takes up to its bounds. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LIMITS } from '../../../src/domain/limits.ts';
import { Stage } from '../../engine/stage.ts';
import { type DoorArgument, type DoorCall, enter } from '../../support/sql-door.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
});
afterAll(() => stage.close());

const refusalOf = (call: DoorCall) =>
  enter(stage.sql, { queue: 'q', ...call }).then(
    () => expect.unreachable('it was taken'),
    (error: unknown) => error,
  );

const bytes = (count: number) => `\\x${'00'.repeat(count)}`;
const codes = (count: number) => `{${Array.from({ length: count }, (_, index) => `c${index}`).join(',')}}`;
const map = (size: number) => JSON.stringify({ key: 'é'.repeat((size - 3) >> 1) + 'x'.repeat((size - 3) & 1) });
const milliseconds = (count: number) => `${count} milliseconds`;
const idAt = (offsetMs: number) => {
  const time = (Date.now() + offsetMs).toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7abc-8def-0123456789ab`;
};
const keyed = { idempotency_key: 'k' };
const external = { disposition: 'EXTERNALLY_OWNED' };
const UUID_V4 = '6d1a3a0c-6b1f-4f0e-9d0a-0123456789ab';

/** The argument that is named, and what it must not be. */
const refused: readonly (readonly [DoorArgument, DoorCall])[] = [
  ['queue', { queue: null }],
  ['queue', { queue: '' }],
  ['queue', { queue: 'a b' }],
  ['queue', { queue: 'a\n' }],
  ['queue', { queue: 'é' }],
  ['queue', { queue: 'q'.repeat(LIMITS.nameLength + 1) }],
  ['namespace', { namespace: 'a/b' }],
  ['type', { type: 'a b' }],
  ['type', { type: 't'.repeat(LIMITS.nameLength + 1) }],
  ['payload', { payload: bytes(LIMITS.payloadBytes + 1) }],
  ['content_type', { content_type: `${'é'.repeat(LIMITS.contentTypeBytes / 2)}x` }],
  ['run_at', { run_at: '1969-12-31 23:59:59.999999+00' }],
  ['run_at', { run_at: '2200-01-01 00:00:00+00' }],
  ['run_at', { run_at: 'infinity' }],
  ['run_at', { run_at: '-infinity' }],
  ['idempotency_key', { idempotency_key: 'k'.repeat(LIMITS.keyBytes + 1) }],
  ['idempotency_scope', { ...keyed, idempotency_scope: 'FOREVER' }],
  ['idempotency_scope', { idempotency_scope: 'UNTIL_TERMINAL' }],
  ['idempotency_ttl', { idempotency_ttl: '1 hour' }],
  ['idempotency_ttl', { ...keyed, idempotency_ttl: '999 milliseconds' }],
  ['idempotency_ttl', { ...keyed, idempotency_ttl: milliseconds(LIMITS.delayMs + 1) }],
  ['on_duplicate', { on_duplicate: 'IGNORE' }],
  ['headers', { headers: '[]' }],
  ['headers', { headers: 'null' }],
  ['headers', { headers: '{"a": 1}' }],
  ['headers', { headers: '{"a": ["b"]}' }],
  ['headers', { headers: '{"a": null}' }],
  ['headers', { headers: map(LIMITS.headersAndLabelsBytes + 1) }],
  ['headers', { headers: map(LIMITS.headersAndLabelsBytes - 3), labels: map(4) }],
  ['labels', { labels: '"a"' }],
  ['labels', { labels: '{"a": {}}' }],
  ['max_attempts', { max_attempts: 0 }],
  ['max_attempts', { max_attempts: LIMITS.maxAttempts + 1 }],
  ['initial_backoff', { initial_backoff: '-1 millisecond' }],
  ['initial_backoff', { initial_backoff: milliseconds(LIMITS.delayMs + 1) }],
  ['initial_backoff', { initial_backoff: '2 seconds', max_backoff: '1 second' }],
  ['multiplier', { multiplier: 0.99 }],
  ['multiplier', { multiplier: LIMITS.backoffMultiplier + 1 }],
  ['multiplier', { multiplier: 'NaN' }],
  ['multiplier', { multiplier: 'Infinity' }],
  ['max_backoff', { max_backoff: '-1 second' }],
  ['max_backoff', { max_backoff: '2 years' }],
  ['non_retryable_codes', { non_retryable_codes: codes(LIMITS.nonRetryableCodes + 1) }],
  ['non_retryable_codes', { non_retryable_codes: '{a,NULL}' }],
  ['non_retryable_codes', { non_retryable_codes: '{a,""}' }],
  ['non_retryable_codes', { non_retryable_codes: '{a b}' }],
  ['disposition', { disposition: 'MINE' }],
  ['schedule_to_start', { schedule_to_start: '0' }],
  ['schedule_to_start', { ...external, schedule_to_start: '1 second' }],
  ['start_to_close', { start_to_close: '-1 second' }],
  ['start_to_close', { ...external, start_to_close: '1 second' }],
  ['schedule_to_close', { schedule_to_close: milliseconds(LIMITS.delayMs + 1) }],
  ['job_id', { job_id: UUID_V4 }],
  ['job_id', { job_id: idAt(0).replace('-8def-', '-cdef-') }],
  ['job_id', { job_id: idAt(-LIMITS.clientJobIdSkewMs - 60_000) }],
  ['job_id', { job_id: idAt(LIMITS.clientJobIdSkewMs + 60_000) }],
];

const taken: Readonly<Record<string, DoorCall>> = {
  'the longest names': {
    queue: 'q'.repeat(LIMITS.nameLength),
    type: 't'.repeat(LIMITS.nameLength),
    namespace: 'n'.repeat(LIMITS.nameLength),
  },
  'the largest payload': { payload: bytes(LIMITS.payloadBytes) },
  'the longest texts': { content_type: 'é'.repeat(LIMITS.contentTypeBytes / 2), idempotency_key: 'é'.repeat(LIMITS.keyBytes / 2) },
  'the largest headers and labels': { headers: map(LIMITS.headersAndLabelsBytes - 4), labels: map(4) },
  'the first instant': { run_at: '1970-01-01 00:00:00+00' },
  'the last instant': { run_at: '2199-12-31 23:59:59.999999+00' },
  'the shortest time of a key': { idempotency_key: 'short', idempotency_ttl: '1 second' },
  'the longest time of a key': { idempotency_key: 'long', idempotency_ttl: milliseconds(LIMITS.delayMs) },
  'the smallest retry policy': { max_attempts: 1, initial_backoff: '0', multiplier: 1, max_backoff: '0', non_retryable_codes: '{}' },
  'the largest retry policy': {
    max_attempts: LIMITS.maxAttempts,
    initial_backoff: milliseconds(LIMITS.delayMs),
    multiplier: LIMITS.backoffMultiplier,
    max_backoff: milliseconds(LIMITS.delayMs),
    non_retryable_codes: codes(LIMITS.nonRetryableCodes),
  },
  'the shortest timeouts': { schedule_to_start: '1 microsecond', start_to_close: '1 microsecond', schedule_to_close: '1 microsecond' },
  'the longest timeouts': {
    schedule_to_start: milliseconds(LIMITS.delayMs),
    start_to_close: milliseconds(LIMITS.delayMs),
    schedule_to_close: milliseconds(LIMITS.delayMs),
  },
  'the oldest id': { job_id: idAt(-LIMITS.clientJobIdSkewMs + 60_000) },
  'the latest id': { job_id: idAt(LIMITS.clientJobIdSkewMs - 60_000) },
};

describe('the door', () => {
  it.each(refused)('refuses a wrong %s by its name (%j)', async (argument, call) => {
    expect(await refusalOf(call)).toMatchObject({
      code: '22023',
      message: expect.stringMatching(new RegExp(`^stint\\.enqueue: ${argument}\\b[^;]*$`)),
    });
  });

  it('names all that is wrong at once', async () => {
    const { message } = (await refusalOf({ queue: '', priority: 1, multiplier: 0, disposition: 'x' })) as Error;
    expect(message).toBe(
      'stint.enqueue: queue must match [A-Za-z0-9._-]{1,128}; multiplier must be from 1 to 1000; disposition must be RERUNNABLE, OWNER_BOUND or EXTERNALLY_OWNED',
    );
  });

  it.each(Object.entries(taken))('takes %s', async (_, call) => {
    expect(await enter(stage.sql, { queue: 'q', ...call })).toMatchObject({ deduplicated: false });
  });

  it('leaves nothing of what it refuses', async () => {
    await refusalOf({ queue: 'never', multiplier: 0 });
    expect(await stage.sql`select 1 from stint.queue where name = 'never'`).toEqual([]);
  });
});

describe('a database that no service has prepared', () => {
  it('is told by name where today has no partition', async () => {
    const other = await Stage.open();
    const day = new Date().toISOString().slice(0, 10).replaceAll('-', '');
    await other.sql.unsafe(`alter table stint.job detach partition stint.job_${day}; alter table stint.job_${day} rename to aside`);
    await expect(enter(other.sql, { queue: 'q' })).rejects.toMatchObject({
      code: '55000',
      message: expect.stringContaining(`stint.job_${day}`),
      hint: expect.stringContaining('Start the service'),
    });
    await other.close();
  });

  it('is told by name where it has no epoch', async () => {
    const other = await Stage.open();
    await other.sql`update stint.epoch set home = 'elsewhere'`;
    await expect(enter(other.sql, { queue: 'q' })).rejects.toMatchObject({
      code: 'ST001',
      message: expect.stringContaining('no Stint service has run on this database since'),
    });
    await other.close();
  });
});
