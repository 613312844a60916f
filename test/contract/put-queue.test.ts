import { describe, expect, it } from 'vitest';
import { ConcurrencyPolicy, type Queue, QueueMode, QueueStatus } from '../../gen/stint/v1/queue.ts';
import { type Scene, useService } from './scene.ts';
import { micros, reasonOf, refusal, seconds } from './stint.ts';

const scene = useService();

type QueuePartial = Parameters<typeof Queue.fromPartial>[0];

const put = ({ stint, namespace, queue }: Scene, told: QueuePartial, updateMask?: string[]) =>
  stint.putQueue({ namespace, queue: { name: queue, ...told }, ...(updateMask === undefined ? {} : { updateMask }) });

async function read({ stint, namespace }: Scene, queue: string): Promise<Queue> {
  return (await stint.getQueue({ namespace, queue })).queue ?? expect.unreachable();
}

/** Every queue of the namespace with everything that was done to them: what a refused call leaves as it is. */
async function picture({ stint, namespace }: Scene) {
  const [{ queues }, { records }] = await Promise.all([stint.listQueues({ namespace }), stint.listAuditRecords({ namespace })]);
  return { queues, records };
}

const DEFAULTS = {
  mode: QueueMode.PUSH_PULL,
  maxInFlight: undefined,
  maxQueued: undefined,
  cancellationBudget: seconds(30),
  leaseDuration: seconds(30),
  leaseGrace: seconds(5),
  retry: { maxAttempts: 10, initialBackoff: seconds(1), multiplier: 2, maxBackoff: seconds(600), jitter: true, nonRetryableCodes: [] },
  deadLetter: { enabled: true, queue: '', maxPayloadBytes: 65_536 },
  rateLimit: undefined,
  concurrencyPerKey: 1,
  concurrencyPolicy: ConcurrencyPolicy.RELEASE,
  fairnessWeights: {},
  retention: seconds(7 * 86_400),
  status: QueueStatus.ACTIVE,
  statusReason: '',
};

const EVERYTHING = {
  mode: QueueMode.PULL_ONLY,
  maxInFlight: 2,
  maxQueued: 3,
  cancellationBudget: seconds(4),
  leaseDuration: seconds(5),
  leaseGrace: seconds(6.5),
  retry: {
    maxAttempts: 7,
    initialBackoff: seconds(0.25),
    multiplier: 1.5,
    maxBackoff: seconds(9),
    jitter: false,
    nonRetryableCodes: ['a', 'b.c'],
  },
  deadLetter: { enabled: false, queue: 'dead', maxPayloadBytes: 0 },
  rateLimit: { permits: 10, period: seconds(11), burst: 12, perKey: true },
  concurrencyPerKey: 13,
  concurrencyPolicy: ConcurrencyPolicy.HOLD,
  fairnessWeights: { 'tenant ü': 1_000, other: 2 },
  retention: seconds(60),
};

describe('a queue', () => {
  it('that PutQueue makes has the defaults, as one that its first job made', async () => {
    const one = scene();
    const { queue } = await put(one, {});
    expect(queue).toEqual({ name: one.queue, ...DEFAULTS, createdAt: expect.anything(), updatedAt: expect.anything() });
    expect(await read(one, one.queue)).toEqual(queue);
    await one.enqueue({ queue: 'other' });
    expect(await read(one, 'other')).toMatchObject(DEFAULTS);
    await one.isSound();
  });

  it('is as it was put, whether it was there or not', async () => {
    const one = scene();
    const { queue } = await put(one, EVERYTHING);
    expect(queue).toEqual({ ...queue, name: one.queue, ...EVERYTHING, status: QueueStatus.ACTIVE });
    expect(await read(one, one.queue)).toEqual(queue);
    const { queue: reset } = await put(one, {});
    expect(reset).toEqual({ ...queue, ...DEFAULTS, updatedAt: expect.anything() });
    expect(micros(reset?.updatedAt)).toBeGreaterThan(micros(queue?.updatedAt));
    expect(await read(one, one.queue)).toEqual(reset);
    await put(one, EVERYTHING);
    expect(await read(one, one.queue)).toMatchObject(EVERYTHING);
  });

  it('keeps what the mask leaves out', async () => {
    const one = scene();
    await put(one, EVERYTHING);
    await put(one, { maxQueued: 40, retry: { maxAttempts: 50 } }, ['max_queued', 'retry.max_attempts', 'rate_limit', 'dead_letter.queue']);
    expect(await read(one, one.queue)).toMatchObject({
      ...EVERYTHING,
      maxQueued: 40,
      retry: { ...EVERYTHING.retry, maxAttempts: 50 },
      rateLimit: undefined,
      deadLetter: { ...EVERYTHING.deadLetter, queue: '' },
    });
  });

  it('has every change of those who change it at once', async () => {
    for (let round = 0; round < 3; round += 1) {
      const one = scene();
      const { retry, deadLetter, rateLimit } = EVERYTHING;
      const changes: [string, QueuePartial][] = [
        ['max_in_flight', { maxInFlight: 2 }],
        ['max_queued', { maxQueued: 3 }],
        ['rate_limit', { rateLimit }],
        ['dead_letter', { deadLetter }],
        ['retry', { retry }],
        ['lease_grace', { leaseGrace: seconds(6.5) }],
      ];
      await Promise.all(changes.map(([path, told]) => put(one, told, [path])));
      expect(await read(one, one.queue)).toMatchObject({
        maxInFlight: 2,
        maxQueued: 3,
        rateLimit,
        deadLetter,
        retry,
        leaseGrace: seconds(6.5),
      });
    }
  });
});

const REFUSED: [string, string, QueuePartial, string[]?][] = [
  ['queue.name', 'INVALID_FIELD', { name: 'no spaces' }],
  ['queue.name', 'INVALID_FIELD', { name: '' }],
  ['queue.max_in_flight', 'INVALID_FIELD', { maxInFlight: 0 }],
  ['queue.rate_limit.permits', 'INVALID_FIELD', { rateLimit: { permits: 0 } }],
  ['queue.fairness_weights', 'INVALID_FIELD', { fairnessWeights: { tenant: 0 } }],
  ['queue.fairness_weights', 'INVALID_FIELD', { fairnessWeights: { tenant: 1_001 } }],
  ['queue.mode', 'INVALID_FIELD', { mode: JSON.parse('77') }],
  ['queue.retry.initial_backoff', 'INVALID_FIELD', { retry: { initialBackoff: seconds(601) } }],
  ['queue.dead_letter.queue', 'INVALID_FIELD', { deadLetter: { queue: 'work' } }],
  ['queue.dead_letter.queue', 'INVALID_FIELD', { deadLetter: { queue: 'no spaces' } }],
  ['update_mask', 'INVALID_FIELD', { maxQueued: 1 }, ['max_queued', 'name']],
  ['update_mask', 'INVALID_FIELD', { maxQueued: 1 }, ['max_queued', 'status']],
  ['queue.retention', 'INVALID_FIELD', { retention: seconds(59.999) }],
  ['queue.retention', 'INVALID_FIELD', { retention: seconds(3_650 * 86_400 + 1) }],
  ['queue.concurrency_per_key', 'INVALID_FIELD', { concurrencyPerKey: 0 }],
  ['queue.concurrency_per_key', 'INVALID_FIELD', { concurrencyPerKey: 1_001 }],
  ['queue.concurrency_policy', 'INVALID_FIELD', { concurrencyPolicy: JSON.parse('77') }],
];

describe('a PutQueue that is refused', () => {
  it.each(REFUSED)('for %s: %s changes nothing and makes nothing', async (field, reason, told, mask) => {
    const one = scene();
    const beside = { maxQueued: 99, ...told };
    for (const formerly of ['absent', 'there']) {
      if (formerly === 'there') await put(one, { deadLetter: { maxPayloadBytes: 5 } });
      const before = await picture(one);
      const { info, violations } = await refusal(put(one, beside, mask));
      expect([info?.reason, ...violations.map((violation) => violation.field)]).toEqual([
        reason,
        ...(violations.length === 0 ? [] : [field]),
      ]);
      if (reason === 'UNIMPLEMENTED') expect(info?.metadata).toEqual({ what: field });
      expect(await picture(one)).toEqual(before);
    }
  });

  it('for its backoff beside one that stood before changes nothing', async () => {
    const one = scene();
    await put(one, { retry: { initialBackoff: seconds(2), maxBackoff: seconds(3) } });
    const before = await picture(one);
    const longer = { retry: { initialBackoff: seconds(3.5) }, mask: 'retry.initial_backoff' };
    const shorter = { retry: { maxBackoff: seconds(1.5) }, mask: 'retry.max_backoff' };
    for (const { retry, mask } of [longer, shorter]) {
      const { violations } = await refusal(put(one, { retry, maxQueued: 5 }, [mask, 'max_queued']));
      expect(violations.map(({ field }) => field)).toEqual(['queue.retry.initial_backoff']);
    }
    expect(await picture(one)).toEqual(before);
  });
});

describe('a circle of dead-letter queues', () => {
  const to = (queue: string) => ({ deadLetter: { queue } });

  it('is refused where it would close, however long it is', async () => {
    const one = scene();
    await put(one, { name: 'a', ...to('b') });
    await put(one, { name: 'b', ...to('c') });
    const before = await picture(one);
    for (const target of ['a', 'b', 'c']) {
      const { violations } = await refusal(put(one, { name: 'c', ...to(target) }));
      expect(violations.map(({ field }) => field)).toEqual(['queue.dead_letter.queue']);
    }
    expect(await picture(one)).toEqual(before);
    await put(one, { name: 'c', ...to('d') });
    await put(one, { name: 'b' });
    await put(one, { name: 'd', ...to('a') });
    await one.isSound();
  });

  it('is not closed by those who try at once', async () => {
    for (let round = 0; round < 4; round += 1) {
      const one = scene();
      const names = ['a', 'b', 'c'].slice(0, 2 + (round % 2));
      const calls = names.map((name, index) => put(one, { name, ...to(names[(index + 1) % names.length] ?? '') }));
      const settled = await Promise.allSettled(calls);
      expect(settled.filter(({ status }) => status === 'rejected')).toHaveLength(1);
      const failed = calls.find((_, index) => settled[index]?.status === 'rejected');
      expect(await reasonOf(failed ?? expect.unreachable())).toBe('INVALID_ARGUMENT/INVALID_FIELD');
    }
  });
});

describe('a request_id of PutQueue', () => {
  const ask = ({ stint, namespace, queue }: Scene, told: QueuePartial, requestId = 'r-1') =>
    stint.putQueue({ namespace, queue: { name: queue, ...told }, requestId });

  it('makes a repeated request answer the same, though the queue has changed since', async () => {
    const one = scene();
    const first = await ask(one, EVERYTHING);
    expect(first.queue).toMatchObject(EVERYTHING);
    await put(one, { maxQueued: 500 });
    const before = await picture(one);
    expect(await ask(one, EVERYTHING)).toEqual(first);
    expect(await picture(one)).toEqual(before);
  });

  it('is refused by name for another content, for another queue and for another mask', async () => {
    const one = scene();
    await ask(one, { maxQueued: 1 });
    const before = await picture(one);
    const others = [
      () => ask(one, { maxQueued: 2 }),
      () => ask(one, { maxQueued: 1, name: 'other' }),
      () =>
        one.stint.putQueue({ namespace: one.namespace, queue: { name: one.queue, maxQueued: 1 }, requestId: 'r-1', updateMask: ['mode'] }),
    ];
    for (const other of others) {
      const { info, violations } = await refusal(other());
      expect([info?.reason, violations.map(({ field }) => field)]).toEqual(['INVALID_FIELD', ['request_id']]);
    }
    expect(await picture(one)).toEqual(before);
  });

  it('asked many times at once is done once', async () => {
    const one = scene();
    const answers = await Promise.all(Array.from({ length: 6 }, () => ask(one, { maxInFlight: 4 })));
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    expect((await picture(one)).records).toHaveLength(1);
  });

  it('belongs to its namespace, is left free by a refusal, and is held to its bound', async () => {
    const [one, another] = [scene(), scene()];
    expect(await reasonOf(ask(one, { deadLetter: { queue: one.queue } }))).toBe('INVALID_ARGUMENT/INVALID_FIELD');
    expect((await ask(one, { maxQueued: 1 })).queue?.maxQueued).toBe(1);
    expect((await ask(another, { maxQueued: 2 })).queue?.maxQueued).toBe(2);
    const { violations } = await refusal(ask(one, {}, 'x'.repeat(257)));
    expect(violations.map(({ field }) => field)).toEqual(['request_id']);
  });
});
