/** What an append refuses to one and not to another: keys that many use at once, and the bound of a job. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobId } from '../../../src/domain/job.ts';
import type { LeaseToken } from '../../../src/domain/lease.ts';
import { LIMITS } from '../../../src/domain/limits.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { AppendItem, AppendOutcome } from '../../../src/engine/ports/events.ts';
import { Stage, tokenOf } from '../../engine/stage.ts';

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

function fact(jobId: JobId, told: Partial<AppendItem> = {}): AppendItem {
  const { namespace } = queue;
  return { namespace, jobId, token: null, type: 'note', data: Buffer.from('d'), contentType: 'text/plain', replayKey: null, ...told };
}

async function append(...items: AppendItem[]): Promise<readonly AppendOutcome[]> {
  return await stage.repository.appendMany(items);
}

async function enqueued(): Promise<JobId> {
  const [jobId] = await stage.enqueue(queue, {});
  return jobId ?? expect.unreachable();
}

const eventOf = (outcome: AppendOutcome | undefined) =>
  outcome === undefined || outcome.kind === 'refused' ? expect.unreachable() : outcome.event;

describe('a replay key that workers share in one commit', () => {
  /** Tokens of a job that nobody holds any more, and of the one who does. */
  async function tokens(staleOnes: number) {
    const [jobId] = await stage.enqueue(queue, {});
    const stale: LeaseToken[] = [];
    for (let index = 0; index < staleOnes; index += 1) {
      const [held] = await stage.claim(queue);
      const token = tokenOf(held ?? expect.unreachable());
      await stage.repository.releaseMany([{ token, delayMs: 0 }]);
      stale.push(token);
    }
    const [held] = await stage.claim(queue);
    return { jobId: jobId ?? expect.unreachable(), stale, live: tokenOf(held ?? expect.unreachable()) };
  }
  const LOST = { kind: 'refused', refusal: { kind: 'lease_lost' } };

  it.each(['before', 'behind'])('is the event of the holder, who stands %s one that has lost the job', async (where) => {
    const { jobId, stale, live } = await tokens(1);
    const both = [...stale, live].map((token) => fact(jobId, { token, replayKey: 'step-1' }));
    const outcomes = await append(...(where === 'behind' ? both : both.toReversed()));
    const sequence = (await stage.job(jobId)).lastSequence;
    const [lost, held] = where === 'behind' ? outcomes : outcomes.toReversed();
    expect(held).toMatchObject({ kind: 'appended', event: { sequence } });
    // Whoever comes behind repeats what is there by then.
    expect(lost).toMatchObject({ kind: 'repeated', event: { sequence } });
    expect((await stage.eventTypes(jobId)).filter((type) => type === 'custom')).toHaveLength(1);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('is refused to all who have lost the job, however many, and to nobody else', async () => {
    const { jobId, stale, live } = await tokens(20);
    const told = (replayKey: string, token: LeaseToken | null) => fact(jobId, { token, replayKey });
    const lost = stale.map((token) => told('lost', token));
    const own = stale.map((token) => fact(jobId, { token, replayKey: 'own', data: Buffer.from('of another') }));
    const outcomes = await append(
      ...lost,
      ...own,
      told('own', live),
      ...stale.map((token) => told('outside', token)),
      told('outside', null),
    );
    expect(outcomes.slice(0, 20)).toEqual(lost.map(() => LOST));
    for (const outcome of outcomes.slice(20, 40)) expect(outcome).toMatchObject({ refusal: { violations: [{ field: 'replay_key' }] } });
    expect(outcomes[40]?.kind).toBe('appended');
    expect(outcomes.slice(41).map(({ kind }) => kind)).toEqual([...stale.map(() => 'repeated'), 'appended']);
    expect((await stage.eventTypes(jobId)).filter((type) => type === 'custom')).toHaveLength(2);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });
});

describe('the custom events of a job', () => {
  const LIMIT = LIMITS.customEventsPerJob;

  /** A job that waits, with so many facts. */
  async function withFacts(count: number): Promise<JobId> {
    const jobId = await enqueued();
    await stage.sql`
      insert into stint.custom_event (shard, job, seq, type, at, life, attempt, fence, state, worker, data, content_type, replay_key)
      select 0, ${jobId}, n + 1, 'note', now(), 1, 0, 0, 'READY', '', 'd', 'text/plain', 'k' || n from generate_series(1, ${count}) n`;
    await stage.sql`update stint.ready set seq = ${count + 1} where job = ${jobId}`;
    return jobId;
  }

  const full = (jobId: JobId) => ({
    kind: 'refused',
    refusal: { kind: 'invalid_transition', jobId, state: 'READY', action: 'append_event', limit: LIMIT },
  });

  it('are so many and no more, and what is there is answered still', async () => {
    const jobId = await withFacts(LIMIT - 2);
    const other = await enqueued();
    const outcomes = await append(fact(jobId), fact(jobId, { replayKey: 'a' }), fact(jobId), fact(other), fact(jobId, { replayKey: 'a' }));
    expect(outcomes.map(({ kind }) => kind)).toEqual(['appended', 'appended', 'refused', 'appended', 'repeated']);
    expect(outcomes[2]).toEqual(full(jobId));
    const { lastSequence } = await stage.job(jobId);
    expect(lastSequence).toBe(LIMIT + 1);
    const again = await append(
      fact(jobId),
      fact(jobId, { replayKey: 'b' }),
      fact(jobId, { replayKey: 'b' }),
      fact(jobId, { replayKey: 'k7' }),
    );
    expect(again).toMatchObject([full(jobId), full(jobId), full(jobId), { kind: 'repeated', event: { sequence: 8 } }]);
    expect((await stage.job(jobId)).lastSequence).toBe(lastSequence);
    const [held] = await stage.claim(queue);
    const token = tokenOf(held ?? expect.unreachable());
    expect(await append(fact(jobId, { token }), fact(jobId, { token: { ...token, secret: crypto.randomUUID() } }))).toEqual([
      { ...full(jobId), refusal: { ...full(jobId).refusal, state: 'RUNNING' } },
      { kind: 'refused', refusal: { kind: 'lease_lost' } },
    ]);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('are counted without the events of the service', async () => {
    const jobId = await enqueued();
    await stage.sql`update stint.ready set seq = ${LIMIT * 3} where job = ${jobId}`;
    expect((await append(fact(jobId), fact(jobId))).map(eventOf).map(({ sequence }) => sequence)).toEqual([LIMIT * 3 + 1, LIMIT * 3 + 2]);
  });

  it('are no more whichever replicas are asked at once', async () => {
    const jobId = await withFacts(LIMIT - 5);
    const second = await stage.another({ settings: 'lock_timeout=120000&statement_timeout=120000' });
    const some = (name: string) => Array.from({ length: 4 }, (_, index) => fact(jobId, { replayKey: `${name}${index}` }));
    const told = await Promise.all(
      ['a', 'b', 'c', 'd'].map((name, index) => (index % 2 === 0 ? second : stage.repository).appendMany(some(name))),
    );
    expect(told.flat().filter(({ kind }) => kind === 'appended')).toHaveLength(5);
    const [row] = await stage.sql<{ count: number }[]>`select count(*)::int from stint.custom_event where job = ${jobId}`;
    expect(row?.count).toBe(LIMIT);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });
});
