import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DeadLetter, DeadLetterId } from '../../../src/domain/dead-letter.ts';
import { EVENT_CODES } from '../../../src/domain/event.ts';
import type { Failure, JobSpec } from '../../../src/domain/job.ts';
import { LIMITS } from '../../../src/domain/limits.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { DeadLetterFilter, ReplayPage } from '../../../src/engine/ports/dead-letters.ts';
import { deadLetterPlaces } from '../../../src/repository/queues/dead-letter-places.ts';
import { listDeadLetters } from '../../../src/repository/queues/list-dead-letters.ts';
import { replayPage } from '../../../src/repository/queues/replay-dead-letters.ts';
import { idsOf, policy, Stage, tokenOf } from '../../engine/stage.ts';
import { explaining } from '../../support/explain.ts';

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

const poison: Failure = { code: 'poison', message: '', details: new Uint8Array(), kind: 'TERMINAL' };

const ofQueue = (told: Partial<DeadLetterFilter> = {}): DeadLetterFilter => ({
  ...{ namespace: queue.namespace, queue: queue.name, type: null, failureCode: null, jobId: null, includeReplayed: false },
  ...told,
});

async function letters(told: Partial<DeadLetterFilter> = {}): Promise<readonly DeadLetter[]> {
  return (await stage.repository.listDeadLetters(ofQueue(told), 1_000, null)).deadLetters;
}

async function failHeld(held: Parameters<typeof tokenOf>[0], failure = poison) {
  const [outcome] = await stage.repository.failMany([{ token: tokenOf(held), failure, retryAfterMs: null, jitterFactor: 1 }]);
  return outcome;
}

/** A job of the queue whose first life has failed. */
async function failed(job: Partial<JobSpec> = {}): Promise<DeadLetterId> {
  const held = await stage.held(queue, { job });
  await failHeld(held);
  return { jobId: held.job.jobId, life: 1 };
}

const page = (...ids: readonly DeadLetterId[]): ReplayPage => ({
  ...{ namespace: queue.namespace, queue: null, reason: '', request: null, next: null },
  ids,
});

const played = () => stage.clock.now().toISOString();

describe('a life that fails leaves one dead letter', () => {
  it('when its workers die one after the other', async () => {
    const { jobId } = (await stage.held(queue, { job: { retry: policy({ maxAttempts: 3, initialBackoffMs: 0, maxBackoffMs: 0 }) } })).job;
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      expect(await letters()).toEqual([]);
      stage.clock.advance(60_000);
      await stage.repository.expireLeases();
      await stage.repository.expireLeases();
      await stage.repository.promoteDue();
      await stage.claim(queue);
    }
    const [letter, ...others] = await letters();
    expect(others).toEqual([]);
    expect(letter).toMatchObject({ jobId, life: 1, failure: { code: 'stint.lease_expired' }, deadLetteredAt: stage.now });
    expect(letter?.attempts.map(({ attempt, outcome }) => [attempt, outcome])).toEqual([1, 2, 3].map((number) => [number, 'EXPIRED']));
  });

  it('when it is handed round for ever', async () => {
    const held = await stage.held(queue, { job: { retry: policy({ maxAttempts: 1 }) } });
    await stage.sql`update stint.lease set releases = ${LIMITS.releasesPerLife} where job = ${held.job.jobId}`;
    expect(await stage.repository.releaseMany([{ token: tokenOf(held), delayMs: 0 }])).toMatchObject([{ job: { state: 'FAILED' } }]);
    expect(await letters()).toMatchObject([{ jobId: held.job.jobId, failure: { code: 'stint.release_limit' } }]);
  });

  it('and none where the queue has them disabled', async () => {
    await stage.sql`update stint.queue set dead_letter_enabled = false where id = ${queue.id}`;
    const held = await stage.held(queue);
    expect(await failHeld(held)).toMatchObject({ decision: { kind: 'failed' } });
    const { jobId } = (await stage.held(queue, { job: { retry: policy({ maxAttempts: 1 }) } })).job;
    await stage.enqueue(queue, { timeouts: { scheduleToStartMs: 1, startToCloseMs: null, scheduleToCloseMs: null } });
    stage.clock.advance(60_000);
    await stage.repository.expireLeases();
    await stage.repository.timeOut();
    expect(await stage.job(jobId)).toMatchObject({ state: 'FAILED' });
    expect(await stage.sql`select 1 from stint.dead_letter where queue_id = ${queue.id}`).toEqual([]);
    const ended = (await stage.repository.history(jobId, 0, 100))?.events.at(-1);
    expect(ended?.detail).toMatchObject({ type: 'failed', deadLettered: false });
  });

  it('each of those that fail together, in the order in which the log tells them', async () => {
    await stage.enqueue(queue, ...Array.from({ length: 40 }, () => ({})));
    const held = await stage.claim(queue, { maxJobs: 40 });
    const items = held.map((one) => ({ token: tokenOf(one), failure: poison, retryAfterMs: null, jitterFactor: 1 }));
    await stage.repository.failMany([...items, ...items]);
    const [told] = await stage.sql<{ jobs: string[] }[]>`
      select to_jsonb(jobs) as jobs from stint.journal where ${held[0]?.job.jobId ?? ''}::uuid = any(jobs) order by n desc limit 1`;
    expect((await letters()).map(({ jobId }) => jobId)).toEqual(told?.jobs);
    expect(told?.jobs).toHaveLength(40);
  });
});

describe('the payload of a dead letter', () => {
  it.each([
    [0, '', true],
    [3, 'pay', true],
    [7, 'payload', false],
    [8, 'payload', false],
  ])('is cut at %i bytes, as the policy was when the life ended', async (bytes, kept, isPayloadTruncated) => {
    await stage.sql`update stint.queue set dead_letter_payload_bytes = ${bytes} where id = ${queue.id}`;
    await failed({ payload: Buffer.from('payload') });
    await stage.sql`update stint.queue set dead_letter_payload_bytes = 5 where id = ${queue.id}`;
    expect(await letters()).toMatchObject([{ payload: Buffer.from(kept), isPayloadTruncated }]);
  });
});

describe('a queue that has its dead letters copied', () => {
  let graves: Queue;
  beforeEach(async () => {
    graves = await stage.queue({ namespace: queue.namespace, name: 'graves' });
    await stage.sql`update stint.queue set dead_letter_queue_id = ${graves.id} where id = ${queue.id}`;
  });
  const input = {
    type: 'send',
    payload: Buffer.alloc(200_000, 7),
    contentType: 'x/y',
    priority: 5,
    labels: { a: 'b' },
    headers: { c: 'd' },
  };

  it('gives a job with the input of the original, which a header names', async () => {
    const { jobId } = await failed({ ...input, retry: policy({ maxAttempts: 3 }) });
    const [copy, ...others] = await stage.claim(graves, { maxJobs: 10 });
    expect(others).toEqual([]);
    expect(Buffer.from(copy?.payload ?? []).equals(input.payload)).toBe(true);
    const { type, contentType, priority, labels } = input;
    expect(copy?.job).toMatchObject({ type, contentType, priority, labels, queue: 'graves', life: 1, attempt: 1, maxAttempts: 10 });
    expect(copy?.job.headers).toEqual({ c: 'd', 'stint-dead-letter-of': jobId });
    expect(copy?.job.createdAt).toBe(stage.now);
    expect(await stage.eventTypes(copy?.job.jobId ?? jobId)).toEqual(['enqueued', 'claimed', 'started']);
    expect((await stage.job(jobId)).headers).toEqual({ c: 'd' });
    const told = await stage.sql`
      select to_jsonb(types) as types from stint.journal where ${copy?.job.jobId ?? jobId}::uuid = any(jobs) order by n`;
    expect(told[0]).toEqual({ types: [EVENT_CODES.enqueued] });
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('gives one for each way to fail, in the order of the records', async () => {
    const { jobId: first } = await failed();
    const [second] = await stage.enqueue(queue, { timeouts: { scheduleToStartMs: 1, startToCloseMs: null, scheduleToCloseMs: null } });
    stage.clock.advance(1_000);
    await stage.repository.timeOut();
    const copies = await stage.claim(graves, { maxJobs: 10 });
    expect(copies.map(({ job }) => job.headers['stint-dead-letter-of'])).toEqual([first, second]);
    expect((await letters()).map(({ jobId }) => jobId)).toEqual([first, second]);
  });

  it('gives one for each life', async () => {
    const id = await failed();
    await stage.repository.replayPage(page(id));
    await failHeld((await stage.claim(queue))[0] ?? expect.unreachable());
    const copies = await stage.claim(graves, { maxJobs: 10 });
    expect(copies.map(({ job }) => job.headers['stint-dead-letter-of'])).toEqual([id.jobId, id.jobId]);
    expect(new Set(idsOf(copies)).size).toBe(2);
  });

  it('is not copied from in turn, and never copies to itself', async () => {
    await failed();
    const fail = async () => failHeld((await stage.claim(graves))[0] ?? expect.unreachable());
    expect(await fail()).toMatchObject({ decision: { kind: 'dead_lettered' } });
    expect(await letters({ queue: 'graves' })).toHaveLength(1);
    expect(await stage.claim(graves)).toEqual([]);
    await stage.sql`update stint.queue set dead_letter_queue_id = ${graves.id} where id = ${graves.id}`;
    await failed();
    await fail();
    expect(await letters({ queue: 'graves' })).toHaveLength(2);
    expect(await stage.claim(graves)).toEqual([]);
  });

  it('gives none where its dead letters are disabled', async () => {
    await stage.sql`update stint.queue set dead_letter_enabled = false where id = ${queue.id}`;
    await failed();
    expect(await stage.claim(graves)).toEqual([]);
  });
});

describe('a listing', () => {
  /** Records of a job that is not there: enough to be passed over. */
  const bury = (count: number, replayed: boolean) => stage.sql`
    insert into stint.dead_letter (shard, namespace, queue_id, job, life, at, replayed_at)
    select 0, ${queue.namespace}, ${queue.id}, stint.mint_job_id(now()), 1, now(), case when ${replayed} then now() end from generate_series(1, ${count}::int)`;

  it('looks at so many records a call, and tells where to go on', async () => {
    await bury(LIMITS.scannedRows + 5, true);
    const { jobId } = await failed();
    for (const filter of [ofQueue(), ofQueue({ queue: null })]) {
      const first = await stage.repository.listDeadLetters(filter, 10, null);
      expect(first.deadLetters).toEqual([]);
      expect(first.nextAfter).not.toBeNull();
      const second = await stage.repository.listDeadLetters(filter, 10, first.nextAfter);
      expect(second).toMatchObject({ deadLetters: [{ jobId }], nextAfter: null });
    }
    const replay = await stage.repository.findReplayable(ofQueue(), 10, null);
    expect(replay.ids).toEqual([]);
    expect((await stage.repository.findReplayable(ofQueue(), 10, replay.next)).ids).toMatchObject([{ jobId, life: 1 }]);
  });

  it('leaves out records whose jobs are gone', async () => {
    const { jobId } = await failed();
    await bury(3, false);
    expect(await letters()).toMatchObject([{ jobId }]);
  });

  it('tells at most the last hundred tries', async () => {
    const held = await stage.held(queue);
    await stage.sql`
      insert into stint.attempt (shard, job, fence, attempt, refunded, life, token, worker, claimed_seq, claimed_at, ended_seq, ended_at, ended_type, dead_lettered)
      select 0, ${held.job.jobId}, -g, 200 - g, false, 1, gen_random_uuid(), 'w', 2, now(), 3, now(), 5, false from generate_series(1, 150) g`;
    await stage.sql`update stint.attempt set fence = fence + 151 where job = ${held.job.jobId}`;
    await stage.sql`update stint.lease set fence = 200 where job = ${held.job.jobId}`;
    const { token } = { token: { ...tokenOf(held), fence: 200n } };
    await stage.repository.failMany([{ token, failure: poison, retryAfterMs: null, jitterFactor: 1 }]);
    const [letter] = await letters();
    expect(letter?.attempts).toHaveLength(100);
    expect(letter?.attempts.map(({ fence }) => Number(fence))).toEqual([...Array.from({ length: 99 }, (_, index) => 52 + index), 200]);
  });

  it('reads little more than a response holds', async () => {
    await stage.sql`update stint.queue set dead_letter_payload_bytes = ${LIMITS.payloadBytes} where id = ${queue.id}`;
    for (let count = 0; count < 10; count += 1) await failed({ payload: Buffer.alloc(LIMITS.payloadBytes, count) });
    const sizes: number[] = [];
    for (let after: bigint | null | undefined; after !== null;) {
      const page = await stage.repository.listDeadLetters(ofQueue(), 1_000, after ?? null);
      sizes.push(page.deadLetters.length);
      after = page.nextAfter;
    }
    expect(sizes.reduce((sum, size) => sum + size)).toBe(10);
    expect(Math.max(...sizes)).toBeLessThan(6);
  });

  it('reads no table from end to end, whatever it is asked for', async () => {
    const id = await failed();
    await bury(20_000, true);
    await stage.sql.unsafe('vacuum analyze stint.dead_letter');
    const { run, plans, close } = await explaining(stage.database.url);
    const places = (told: Partial<DeadLetterFilter>) =>
      deadLetterPlaces(run, ofQueue({ includeReplayed: true, ...told }), { after: null, until: null, limit: 10 });
    await listDeadLetters(run, ofQueue(), 10, null);
    await places({ type: 'x', failureCode: 'y' });
    await places({ queue: null, type: 'x', failureCode: 'y' });
    await places({ jobId: id.jobId });
    await replayPage({ transaction: (work) => work(run) }, played(), page(id));
    await close();
    expect([...plans.keys()]).toEqual(
      expect.arrayContaining(['dead-letters-of-queue', 'dead-letters-of-namespace', 'dead-letters-of-job', 'dead-letters', 'retry']),
    );
    for (const [name, { scanned }] of plans) expect(scanned, name).toEqual([]);
  });
});

describe('a replay of as many as one call takes', () => {
  it('is one commit', async () => {
    await stage.enqueue(queue, ...Array.from({ length: 1_000 }, () => ({})));
    const held = await stage.claim(queue, { maxJobs: 1_000 });
    await stage.repository.failMany(held.map((one) => ({ token: tokenOf(one), failure: poison, retryAfterMs: null, jitterFactor: 1 })));
    const { ids, next } = await stage.repository.findReplayable(ofQueue(), 1_000, null);
    expect(ids).toHaveLength(1_000);
    const { changed } = await stage.repository.replayPage({ ...page(...ids), next });
    expect(changed).toHaveLength(1_000);
    expect(await letters()).toEqual([]);
    expect(await stage.claim(queue, { maxJobs: 1_000 })).toHaveLength(1_000);
  });
});
