import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Failure, JobSpec } from '../../../src/domain/job.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { FailItem, FailOutcome } from '../../../src/engine/ports/repository.ts';
import { policy, Stage, tokenOf } from '../../engine/stage.ts';

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

const failure: Failure = { code: 'boom', message: 'no "way" \\ →😀', details: Buffer.from([0, 255]), kind: 'RETRYABLE' };
const deadLetters = () => stage.sql`select job, life from stint.dead_letter where queue_id = ${queue.id} order by n`;

async function failNew(job: Partial<JobSpec>, told: Partial<FailItem> = {}) {
  const held = await stage.held(queue, { job });
  const item = { token: tokenOf(held), failure, retryAfterMs: null, jitterFactor: 1, ...told };
  const [outcome] = await stage.repository.failMany([item]);
  if (outcome === undefined) throw new Error('no outcome');
  return { item, outcome, jobId: held.job.jobId };
}

const decision = (outcome: FailOutcome) => ('decision' in outcome ? outcome.decision : outcome.kind);

describe('a failure', () => {
  it('is kept whole', async () => {
    const { jobId } = await failNew({});
    expect((await stage.job(jobId)).failure).toEqual(failure);
  });

  it('waits as its policy says', async () => {
    const { outcome } = await failNew({ retry: policy({ initialBackoffMs: 1_500, multiplier: 3, jitter: false }) });
    expect(decision(outcome)).toEqual({ kind: 'retry_scheduled', nextAttempt: 2, retryAt: stage.now + 1_500_000 });
  });

  it('waits as long as its worker says, also not at all', async () => {
    const { outcome } = await failNew({}, { retryAfterMs: 123_456 });
    expect(decision(outcome)).toEqual({ kind: 'retry_scheduled', nextAttempt: 2, retryAt: stage.now + 123_456_000 });
    const { outcome: atOnce, jobId } = await failNew({}, { retryAfterMs: 0 });
    expect(decision(atOnce)).toEqual({ kind: 'retry_scheduled', nextAttempt: 2, retryAt: stage.now });
    await stage.repository.promoteDue();
    expect((await stage.job(jobId)).state).toBe('READY');
  });

  it('repeated tells the first decision, whatever it asks for', async () => {
    const { item, outcome } = await failNew({}, { retryAfterMs: 5_000 });
    const again = { ...item, retryAfterMs: 9_000, failure: { ...failure, kind: 'TERMINAL' as const } };
    const [repeated] = await stage.repository.failMany([again]);
    expect(repeated).toMatchObject({ kind: 'already_applied', decision: decision(outcome) });
  });
});

describe('a job that will not be tried again', () => {
  const lastTry = { retry: policy({ maxAttempts: 1 }) };
  it.each<[string, Partial<JobSpec>, Partial<FailItem>]>([
    ['its attempts are spent', lastTry, {}],
    ['its attempts are spent, whatever the worker asks for', lastTry, { retryAfterMs: 1_000 }],
    ['its worker says so', {}, { failure: { ...failure, kind: 'TERMINAL' } }],
    ['its policy names the code', { retry: policy({ nonRetryableCodes: ['a', 'boom'] }) }, {}],
    ['its policy names an odd code', { retry: policy({ nonRetryableCodes: ['a,"b\\'] }) }, { failure: { ...failure, code: 'a,"b\\' } }],
  ])('because %s is FAILED, with one dead letter', async (_why, job, told) => {
    const { outcome, item, jobId } = await failNew(job, told);
    expect(outcome).toMatchObject({
      kind: 'applied',
      decision: { kind: 'dead_lettered' },
      job: { state: 'FAILED', finishedAt: stage.now },
    });
    expect(await stage.repository.failMany([item, item])).toMatchObject([
      { kind: 'already_applied', decision: { kind: 'dead_lettered' } },
      { kind: 'already_applied' },
    ]);
    expect(await deadLetters()).toEqual([{ job: jobId, life: 1 }]);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('has no dead letter where its queue wants none', async () => {
    await stage.sql`update stint.queue set dead_letter_enabled = false where id = ${queue.id}`;
    const { outcome, item, jobId } = await failNew(lastTry);
    expect(outcome).toMatchObject({ decision: { kind: 'failed' }, job: { state: 'FAILED' } });
    expect(await stage.repository.failMany([item])).toMatchObject([{ kind: 'already_applied', decision: { kind: 'failed' } }]);
    expect(await deadLetters()).toEqual([]);
    const history = await stage.repository.history(jobId, 3, 10);
    expect(history?.events).toMatchObject([{ detail: { type: 'failed', deadLettered: false } }]);
  });

  it('is tried again with a code that its policy does not name', async () => {
    const { outcome } = await failNew({ retry: policy({ nonRetryableCodes: ['boo', 'boomm', 'BOOM', '', 'boom '] }) });
    expect(decision(outcome)).toMatchObject({ kind: 'retry_scheduled' });
  });

  it('obeys the policy that its queue has when it fails', async () => {
    await stage.sql`update stint.queue set non_retryable_codes = '{boom}' where id = ${queue.id}`;
    expect(decision((await failNew({})).outcome)).toEqual({ kind: 'dead_lettered', life: 1 });
    expect(decision((await failNew({ retry: policy({ nonRetryableCodes: [] }) })).outcome)).toMatchObject({ kind: 'retry_scheduled' });
  });

  it('counts its tries over retries, and ends with the last', async () => {
    await stage.enqueue(queue, { retry: policy({ maxAttempts: 3 }) });
    const ends = [];
    for (let turn = 0; turn < 3; turn += 1) {
      const [held] = await stage.claim(queue);
      if (held === undefined) throw new Error('nothing was claimed');
      const [outcome] = await stage.repository.failMany([{ token: tokenOf(held), failure, retryAfterMs: 0, jitterFactor: 1 }]);
      ends.push(outcome !== undefined && decision(outcome));
      await stage.repository.promoteDue();
    }
    expect(ends).toMatchObject([{ nextAttempt: 2 }, { nextAttempt: 3 }, { kind: 'dead_lettered' }]);
  });
});

describe('in one batch', () => {
  it('each failure follows its own policy and its own queue', async () => {
    const other = await stage.queue();
    await stage.sql`update stint.queue set dead_letter_enabled = false, max_attempts = 1 where id = ${other.id}`;
    const here = [await stage.held(queue), await stage.held(queue, { job: { retry: policy({ maxAttempts: 1 }) } })];
    const there = [await stage.held(other), await stage.held(other, { job: { retry: policy({ maxAttempts: 2 }) } })];
    const outcomes = await stage.repository.failMany(
      [...here, ...there].reverse().map((held) => ({ token: tokenOf(held), failure, retryAfterMs: null, jitterFactor: 1 })),
    );
    expect(outcomes.map((outcome) => ('decision' in outcome ? outcome.decision.kind : outcome.kind))).toEqual([
      'retry_scheduled',
      'failed',
      'dead_lettered',
      'retry_scheduled',
    ]);
  });
});
