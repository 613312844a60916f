import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobSpec } from '../../../src/domain/job.ts';
import type { JobId } from '../../../src/domain/job.ts';
import type { LeaseToken } from '../../../src/domain/lease.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { AppendItem, AppendOutcome } from '../../../src/engine/ports/events.ts';
import { idsOf, Stage, tokenOf } from '../../engine/stage.ts';

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

async function enqueued(told: Partial<JobSpec> = {}): Promise<JobId> {
  const [jobId] = await stage.enqueue(queue, told);
  return jobId ?? expect.unreachable();
}

const eventOf = (outcome: AppendOutcome | undefined) =>
  outcome === undefined || outcome.kind === 'refused' ? expect.unreachable() : outcome.event;

/** The token of a job, whichever table it lies in, as its columns. */
async function tokenRow(jobId: JobId): Promise<Record<string, unknown>> {
  const rows = await stage.sql<{ row: Record<string, unknown> }[]>`
    select to_jsonb(t) as row from stint.ready t where job = ${jobId} union all select to_jsonb(t) from stint.lease t where job = ${jobId}
    union all select to_jsonb(t) from stint.deferred t where job = ${jobId} union all select to_jsonb(t) from stint.parked t where job = ${jobId}`;
  expect(rows).toHaveLength(1);
  return rows[0]?.row ?? {};
}

const WAITING: readonly { readonly state: string; readonly make: () => Promise<JobId> }[] = [
  { state: 'READY', make: () => enqueued() },
  { state: 'SCHEDULED', make: () => enqueued({ runAt: stage.now + 60_000_000 }) },
  {
    state: 'BLOCKED',
    make: async () => {
      await enqueued({ concurrencyKey: 'k' });
      return await enqueued({ concurrencyKey: 'k' });
    },
  },
  {
    state: 'SUSPENDED',
    make: async () => {
      const held = await stage.held(queue);
      await stage.repository.suspendMany([{ token: tokenOf(held), checkpoint: null, reason: '' }]);
      return held.job.jobId;
    },
  },
  {
    state: 'RETRY_WAIT',
    make: async () => {
      const held = await stage.held(queue);
      const failure = { code: 'x', message: '', details: Buffer.alloc(0), kind: 'RETRYABLE' as const };
      await stage.repository.failMany([{ token: tokenOf(held), failure, retryAfterMs: 60_000, jitterFactor: 1 }]);
      return held.job.jobId;
    },
  },
  { state: 'READY, externally owned', make: () => enqueued({ disposition: 'EXTERNALLY_OWNED' }) },
  { state: 'LEASED', make: async () => (await stage.held(queue, { claim: { startOnClaim: false } })).job.jobId },
  { state: 'RUNNING', make: async () => (await stage.held(queue)).job.jobId },
];

describe('an event that is appended', () => {
  it.each(WAITING)('takes the next sequence of a job that is $state, and moves nothing', async ({ state, make }) => {
    const jobId = await make();
    const before = await tokenRow(jobId);
    const job = await stage.job(jobId);
    const [last] = await stage.sql<{ n: string }[]>`select max(n)::text as n from stint.journal`;
    const event = eventOf((await append(fact(jobId)))[0]);
    expect(event.state).toBe(state.split(',')[0]);
    expect(event.sequence).toBe(job.lastSequence + 1);
    const after = await tokenRow(jobId);
    // A READY token is put back where it lay, out of order as far as floors know.
    expect({ ...after, out_of_order: before['out_of_order'] }).toEqual({ ...before, seq: job.lastSequence + 1 });
    expect(await stage.job(jobId)).toEqual({ ...job, lastSequence: job.lastSequence + 1 });
    const history = await stage.repository.history(jobId, 0, 100);
    expect(history?.events.at(-1)).toEqual(event);
    expect(history?.latestSequence).toBe(event.sequence);
    const rows = await stage.sql<{ moves: unknown }[]>`
      select moves from stint.journal where n > ${last?.n ?? ''}::bigint and jobs @> array[${jobId}]::uuid[]`;
    expect(rows.map(({ moves }) => moves)).toEqual([null]);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('leaves the order of the backlog as it was, also where the queue is claimed by type', async () => {
    const ids = await stage.enqueue(queue, { type: 'a' }, { type: 'a' }, { type: 'a' });
    while (!(await stage.repository.sortByType([queue]))) continue;
    for (const jobId of [ids[2], ids[0]]) await append(fact(jobId ?? expect.unreachable()));
    const { jobs } = await stage.repository.claim(
      [queue],
      [{ workerId: 'w', maxJobs: 2, leaseDurationMs: null, startOnClaim: true, requestId: null, secret: crypto.randomUUID() }],
      ['a'],
    );
    expect(idsOf(jobs[0] ?? [])).toEqual(ids.slice(0, 2));
    expect(idsOf(await stage.claim(queue, { maxJobs: 2 }))).toEqual(ids.slice(2));
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('is one of many of its job in a commit, in the order that they were given', async () => {
    const jobId = await enqueued();
    const other = await enqueued();
    const types = ['a', 'b', 'c', 'd'];
    const outcomes = await append(...types.flatMap((type) => [fact(jobId, { type }), fact(other, { type })]));
    expect(outcomes.map(eventOf).map(({ jobId: id, sequence }) => [id, sequence])).toEqual(
      [2, 3, 4, 5].flatMap((sequence) => [
        [jobId, sequence],
        [other, sequence],
      ]),
    );
    for (const id of [jobId, other]) {
      const history = await stage.repository.history(id, 1, 100);
      expect(history?.events.map(({ detail }) => detail.type === 'custom' && detail.customType)).toEqual(types);
    }
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('is refused by a job that has ended, and taken in its next life', async () => {
    const held = await stage.held(queue);
    const { jobId } = held.job;
    const failure = { code: 'x', message: '', details: Buffer.alloc(0), kind: 'TERMINAL' as const };
    await stage.repository.failMany([{ token: tokenOf(held), failure, retryAfterMs: null, jitterFactor: 1 }]);
    expect(await append(fact(jobId))).toEqual([
      { kind: 'refused', refusal: { kind: 'invalid_transition', jobId, state: 'FAILED', action: 'append_event' } },
    ]);
    await stage.repository.retryMany([{ namespace: queue.namespace, jobId, request: null, reason: '' }]);
    expect(eventOf((await append(fact(jobId)))[0])).toMatchObject({ life: 2, attempt: 0, state: 'READY', workerId: '' });
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('is of no job that the namespace does not have', async () => {
    const jobId = await enqueued();
    const unknown = stage.mint.mint();
    const outcomes = await append(fact(unknown), fact(jobId, { namespace: 'another' }), fact(jobId));
    expect(outcomes.map((outcome) => (outcome.kind === 'refused' ? outcome.refusal : outcome.kind))).toEqual([
      { kind: 'job_not_found', jobId: unknown },
      { kind: 'job_not_found', jobId },
      'appended',
    ]);
  });

  it('leaves with its job when that is pruned', async () => {
    const held = await stage.held(queue);
    const item = fact(held.job.jobId, { replayKey: 'k' });
    await append(item);
    await stage.repository.ackMany([{ token: tokenOf(held), result: Buffer.alloc(0), contentType: '' }]);
    stage.clock.advance(8 * 86_400_000);
    await stage.repository.ensurePartitions();
    await stage.repository.pruneExpired();
    const [left] = await stage.sql<{ count: number }[]>`select count(*)::int from stint.custom_event where job = ${held.job.jobId}`;
    expect(left?.count).toBe(0);
    expect(await append(item)).toEqual([{ kind: 'refused', refusal: { kind: 'job_not_found', jobId: held.job.jobId } }]);
  });
});

describe('an event that the holder tells', () => {
  const told = (jobId: JobId, token: LeaseToken) => append(fact(jobId, { token }));

  it('is taken while the lease is live, and neither renews nor moves it', async () => {
    const held = await stage.held(queue, { claim: { workerId: 'me' } });
    const token = tokenOf(held);
    stage.clock.advance(10_000);
    const before = await tokenRow(held.job.jobId);
    expect(eventOf((await told(held.job.jobId, token))[0])).toMatchObject({ workerId: 'me', state: 'RUNNING', attempt: 1 });
    expect(await tokenRow(held.job.jobId)).toEqual({ ...before, seq: 4 });
    // The lease with its grace, and not a moment longer.
    stage.clock.advance(24_999);
    expect((await told(held.job.jobId, token))[0]?.kind).toBe('appended');
    stage.clock.advance(1);
    expect(await told(held.job.jobId, token)).toEqual([{ kind: 'refused', refusal: { kind: 'lease_lost' } }]);
    expect(await stage.eventTypes(held.job.jobId)).toEqual(['enqueued', 'claimed', 'started', 'custom', 'custom']);
  });

  it.each(['another secret', 'another fence', 'a settled lease', 'a job that waits'])('is refused with %s', async (how) => {
    const held = await stage.held(queue);
    const { jobId } = held.job;
    const token = tokenOf(held);
    if (how === 'a settled lease') await stage.repository.ackMany([{ token, result: Buffer.alloc(0), contentType: '' }]);
    if (how === 'a job that waits') await stage.repository.releaseMany([{ token, delayMs: 0 }]);
    const told_ = {
      ...token,
      ...(how === 'another secret' ? { secret: crypto.randomUUID() } : {}),
      ...(how === 'another fence' ? { fence: token.fence - 1n } : {}),
    };
    const before = await stage.eventTypes(jobId);
    expect(await told(jobId, told_)).toEqual([{ kind: 'refused', refusal: { kind: 'lease_lost' } }]);
    expect(await stage.eventTypes(jobId)).toEqual(before);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('stands beside those of strangers in one commit', async () => {
    const held = await stage.held(queue);
    const { jobId } = held.job;
    const token = tokenOf(held);
    const outcomes = await append(
      fact(jobId),
      fact(jobId, { token }),
      fact(jobId, { token: { ...token, secret: crypto.randomUUID() } }),
      fact(jobId),
    );
    expect(outcomes.map(({ kind }) => kind)).toEqual(['appended', 'appended', 'refused', 'appended']);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });
});

describe('a replay key', () => {
  it('is one event, also when the job has ended and when the lease is lost', async () => {
    const held = await stage.held(queue);
    const { jobId } = held.job;
    const item = fact(jobId, { token: tokenOf(held), replayKey: 'k' });
    const event = eventOf((await append(item))[0]);
    expect(await append(item)).toEqual([{ kind: 'repeated', event }]);
    await stage.repository.ackMany([{ token: tokenOf(held), result: Buffer.alloc(0), contentType: '' }]);
    expect(await append(item, fact(jobId, { replayKey: 'k' }))).toEqual([
      { kind: 'repeated', event },
      { kind: 'repeated', event },
    ]);
    expect(await stage.eventTypes(jobId)).toEqual(['enqueued', 'claimed', 'started', 'custom', 'succeeded']);
  });

  it('is one event in one commit', async () => {
    const jobId = await enqueued();
    const items = [fact(jobId, { replayKey: 'k' }), fact(jobId), fact(jobId, { replayKey: 'k' }), fact(jobId, { replayKey: 'l' })];
    const outcomes = await append(...items);
    expect(outcomes.map(({ kind }) => kind)).toEqual(['appended', 'appended', 'repeated', 'appended']);
    expect(eventOf(outcomes[2])).toEqual(eventOf(outcomes[0]));
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it.each([{ type: 'other' }, { data: Buffer.from('other') }, { contentType: 'other/type' }])(
    'is refused for another event: %o',
    async (other) => {
      const jobId = await enqueued();
      const item = fact(jobId, { replayKey: 'k' });
      await append(item);
      const [outcome] = await append({ ...item, ...other });
      expect(outcome).toMatchObject({ kind: 'refused', refusal: { kind: 'invalid_field', violations: [{ field: 'replay_key' }] } });
      expect(await stage.eventTypes(jobId)).toEqual(['enqueued', 'custom']);
    },
  );

  it('is of one job', async () => {
    const [one, other] = [await enqueued(), await enqueued()];
    const outcomes = await append(fact(one, { replayKey: 'k' }), fact(other, { replayKey: 'k' }));
    expect(outcomes.map(({ kind }) => kind)).toEqual(['appended', 'appended']);
  });

  it('is one event whichever replica is asked, also at the same moment', async () => {
    const jobId = await enqueued();
    const second = await stage.another({ settings: 'lock_timeout=120000&statement_timeout=120000' });
    const items = Array.from({ length: 5 }, (_, index) => fact(jobId, { replayKey: `k${index}` }));
    const both = await Promise.all([stage.repository.appendMany(items), second.appendMany(items.toReversed())]);
    expect(both[1].map(eventOf).toReversed()).toEqual(both[0].map(eventOf));
    expect((await stage.repository.history(jobId, 0, 100))?.events).toHaveLength(6);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });
});
