import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseJobId, type JobId, type JobSpec } from '../../../src/domain/job.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { EnqueueItem, EnqueueOutcome } from '../../../src/engine/ports/repository.ts';
import { idsOf, policy, Stage, tokenOf } from '../../engine/stage.ts';

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
afterAll(() => stage.close());

const HOUR_MS = 3_600_000;
const keyed = (key: string, told: Partial<NonNullable<JobSpec['idempotency']>> = {}): Partial<JobSpec> => ({
  idempotency: { key, scope: 'RETAINED', ttlMs: null, ...told },
});
const enqueueMany = (items: readonly EnqueueItem[]) => stage.repository.enqueueMany(items);
const enqueueOne = async (told: Partial<JobSpec>, of: Queue = queue) => first(await enqueueMany([stage.item(of, told)]));
const kinds = (outcomes: readonly EnqueueOutcome[]) => outcomes.map(({ kind }) => kind);

function first<T>(items: readonly T[]): T {
  const [item] = items;
  if (item === undefined) throw new Error('nothing came back');
  return item;
}

function idOf(outcome: EnqueueOutcome): JobId {
  if (!('job' in outcome)) throw new Error('no job came back');
  return outcome.job.jobId;
}

/** All rows that an enqueue writes, of one queue. */
async function rowsOf({ id }: Queue) {
  const [row] = await stage.sql`
    select (select count(*)::int from stint.job where queue_id = ${id}) as jobs, (select count(*)::int from stint.idem where queue_id = ${id}) as keys,
      (select count(*)::int from stint.ready where queue_id = ${id}) as ready, (select count(*)::int from stint.deferred where queue_id = ${id}) as deferred,
      (select count(*)::int from stint.journal where ${id} = any(queue_ids)) as journal`;
  return row;
}

async function finish(jobId: JobId): Promise<void> {
  const claimed = await stage.claim(queue, { maxJobs: 1_000 });
  await stage.repository.ackMany(claimed.map((one) => ({ token: tokenOf(one), result: Buffer.from('x'), contentType: '' })));
  expect(await stage.job(jobId)).toMatchObject({ state: 'SUCCEEDED' });
}

describe('enqueue', () => {
  beforeAll(async () => {
    queue = await stage.queue();
  });

  it('answers with the job as a read gives it', async () => {
    const told = {
      type: 'resize',
      contentType: 'text/plain',
      priority: 7,
      headers: { a: '1' },
      labels: { b: '2' },
      ...keyed('told'),
      retry: policy({ maxAttempts: 3 }),
    };
    const outcome = await enqueueOne(told);
    expect(outcome.kind).toBe('enqueued');
    expect('job' in outcome && outcome.job).toEqual(await stage.job(idOf(outcome)));
    expect('job' in outcome && outcome.job).toMatchObject({
      type: 'resize',
      priority: 7,
      maxAttempts: 3,
      state: 'READY',
      attempt: 0,
      lastSequence: 1,
    });
  });

  it('keeps text whatever is in it', async () => {
    const odd = { 'a"b': 'c\\d', "e'f": '{g,h}', 'ü→😀': 'NULL', '': '', ' ': '\t\n', $1: '%s' };
    const codes = ['', 'NULL', 'a,b', '"q"', '\\', '{}', ' x ', '→😀', "'"];
    const id = idOf(
      await enqueueOne({ headers: odd, labels: odd, type: 'a"\\b', ...keyed('k"\\{},→'), retry: policy({ nonRetryableCodes: codes }) }),
    );
    expect(await stage.job(id)).toMatchObject({ headers: odd, labels: odd, type: 'a"\\b', idempotencyKey: 'k"\\{},→' });
    const [row] = await stage.sql`select to_jsonb(non_retryable_codes) as codes from stint.job where id = ${id}`;
    expect(row?.['codes']).toEqual(codes);
  });

  it('keeps every byte of a payload, also of none', async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    const ids = await stage.enqueue(queue, { payload: bytes }, { payload: new Uint8Array() });
    const payloads = await Promise.all(ids.map((id) => stage.repository.getPayload(id)));
    expect(payloads.map((payload) => Buffer.from(payload ?? [1]).toString('hex'))).toEqual([Buffer.from(bytes).toString('hex'), '']);
  });

  it('tried again after its answer was lost tells the same: these are no duplicates', async () => {
    const items = [{}, keyed('lost')].map((told) => stage.item(queue, { ...told, onDuplicate: 'REJECT' }));
    const answer = await enqueueMany(items);
    expect(kinds(answer)).toEqual(['enqueued', 'enqueued']);
    expect(await enqueueMany(items)).toEqual(answer);
  });

  it('of nothing does nothing', async () => {
    expect(await enqueueMany([])).toEqual([]);
  });
});

describe('a job with a run_at', () => {
  beforeAll(async () => {
    queue = await stage.queue();
  });

  it.each([
    { when: 'in the future', inMs: 1, state: 'SCHEDULED' },
    { when: 'at this instant', inMs: 0, state: 'READY' },
    { when: 'in the past', inMs: -HOUR_MS, state: 'READY' },
  ])('$when is $state', async ({ inMs, state }) => {
    const runAt = stage.now + inMs * 1_000;
    const outcome = await enqueueOne({ runAt });
    expect(outcome).toMatchObject({ kind: 'enqueued', job: { state, runAt } });
    expect(await stage.job(idOf(outcome))).toMatchObject({ state, runAt });
    const history = await stage.repository.history(idOf(outcome), 0, 10);
    expect(history?.events).toMatchObject([{ state, detail: { type: 'enqueued', runAt: state === 'READY' ? null : runAt } }]);
  });

  it('keeps its microseconds', async () => {
    const runAt = stage.now + 60_000_001;
    expect(await stage.job(idOf(await enqueueOne({ runAt })))).toMatchObject({ runAt });
  });
});

describe('dispatch order', () => {
  it('is FIFO inside a batch and over answered calls', async () => {
    queue = await stage.queue();
    const ids: JobId[] = [];
    for (const count of [3, 1, 400, 2]) ids.push(...(await stage.enqueue(queue, ...Array.from({ length: count }, () => ({})))));
    expect((await stage.repository.peekQueue(queue, 1_000)).map(({ jobId }) => jobId)).toEqual(ids);
    expect(idsOf(await stage.claim(queue, { maxJobs: 1_000 }))).toEqual(ids);
  });

  it('is by priority first, over the whole range of it', async () => {
    queue = await stage.queue();
    const priorities = [0, -2_147_483_648, 5, 2_147_483_647, 0, -1];
    await stage.enqueue(queue, ...priorities.map((priority) => ({ priority })));
    const claimed = await stage.claim(queue, { maxJobs: 10 });
    expect(claimed.map(({ job }) => job.priority)).toEqual([2_147_483_647, 5, 0, 0, -1, -2_147_483_648]);
  });
});

describe('an atomic enqueue', () => {
  const some = (count: number): Partial<JobSpec>[] => Array.from({ length: count }, (_, index) => keyed(`k${index}`));

  it('commits all of them', async () => {
    queue = await stage.queue();
    const outcomes = await stage.repository.enqueueAtomic(
      some(3).map((told) => stage.item(queue, told)),
      () => false,
    );
    expect(kinds(outcomes)).toEqual(['enqueued', 'enqueued', 'enqueued']);
    expect(await rowsOf(queue)).toEqual({ jobs: 3, keys: 3, ready: 3, deferred: 0, journal: 1 });
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('that is refused leaves nothing at all, and tells what it found', async () => {
    queue = await stage.queue();
    await stage.enqueue(queue, keyed('k2'));
    const before = await rowsOf(queue);
    const items = [...some(3), { runAt: stage.now + 1_000_000 }].map((told) => stage.item(queue, told));
    const outcomes = await stage.repository.enqueueAtomic(items, (found) => found.some(({ kind }) => kind !== 'enqueued'));
    expect(kinds(outcomes)).toEqual(['enqueued', 'enqueued', 'duplicate', 'enqueued']);
    expect(await rowsOf(queue)).toEqual(before);
    expect(await stage.repository.getJobs(items.map(({ jobId }) => jobId))).toEqual([null, null, null, null]);
  });

  it('with one item that the database refuses leaves nothing at all', async () => {
    queue = await stage.queue();
    const bad = { jobId: parseJobId('00000000-0000-7000-8000-000000000000') };
    const items = [...some(2), bad].map((told) => stage.item(queue, told));
    await expect(stage.repository.enqueueAtomic(items, () => false)).rejects.toMatchObject({ kind: 'bad_item' });
    expect(await rowsOf(queue)).toEqual({ jobs: 0, keys: 0, ready: 0, deferred: 0, journal: 0 });
  });

  it('keeps a held key held when it is undone after taking it over', async () => {
    queue = await stage.queue();
    const untilTerminal = keyed('over', { scope: 'UNTIL_TERMINAL' });
    const original = await enqueueOne(untilTerminal);
    await finish(idOf(original));
    const outcomes = await stage.repository.enqueueAtomic([stage.item(queue, untilTerminal)], () => true);
    expect(kinds(outcomes)).toEqual(['enqueued']);
    const [row] = await stage.sql`select job from stint.idem where queue_id = ${queue.id}`;
    expect(row?.['job']).toBe(idOf(original));
  });
});
