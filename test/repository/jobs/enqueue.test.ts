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

describe('a retained key', () => {
  beforeAll(async () => {
    queue = await stage.queue();
  });

  it('gives the first job again, also once that has ended', async () => {
    const original = await enqueueOne(keyed('k'));
    expect(await enqueueOne(keyed('k'))).toMatchObject({ kind: 'duplicate', sameContent: true, job: { jobId: idOf(original) } });
    await finish(idOf(original));
    expect(await enqueueOne(keyed('k'))).toMatchObject({
      kind: 'duplicate',
      sameContent: true,
      job: { jobId: idOf(original), state: 'SUCCEEDED' },
    });
  });

  it('tells other content', async () => {
    const original = await enqueueOne(keyed('content'));
    expect(await enqueueOne({ ...keyed('content'), payload: Buffer.from('other') })).toMatchObject({
      kind: 'duplicate',
      sameContent: false,
      job: { jobId: idOf(original) },
    });
  });

  it('is judged by content only: a priority, a schedule or labels may differ', async () => {
    await enqueueOne(keyed('judged'));
    const again = await enqueueOne({ ...keyed('judged'), priority: 9, runAt: stage.now + 1, labels: { a: 'b' }, headers: { c: 'd' } });
    expect(again).toMatchObject({ kind: 'duplicate', sameContent: true });
  });

  it('is free in another queue and in another namespace', async () => {
    await enqueueOne(keyed('mine'));
    expect(await enqueueOne(keyed('mine'), await stage.queue({ name: 'other', namespace: queue.namespace }))).toMatchObject({
      kind: 'enqueued',
    });
    expect(await enqueueOne(keyed('mine'), await stage.queue())).toMatchObject({ kind: 'enqueued' });
  });

  it('that stands often in a batch makes one job: the first', async () => {
    const items = Array.from({ length: 300 }, (_, index) => stage.item(queue, keyed(`often${6 - (index % 7)}`)));
    const outcomes = await enqueueMany(items);
    expect(kinds(outcomes)).toEqual(items.map((_, index) => (index < 7 ? 'enqueued' : 'duplicate')));
    expect(outcomes.map(idOf)).toEqual(items.map((_, index) => items[index % 7]?.jobId));
  });
});

describe('a key that holds until the job has ended', () => {
  const untilTerminal = (key: string) => keyed(key, { scope: 'UNTIL_TERMINAL' });
  beforeAll(async () => {
    queue = await stage.queue();
  });

  it('is free then, and held by the next job', async () => {
    const original = await enqueueOne(untilTerminal('k'));
    expect(await enqueueOne(untilTerminal('k'))).toMatchObject({ kind: 'duplicate', job: { jobId: idOf(original) } });
    await finish(idOf(original));
    const next = await enqueueOne(untilTerminal('k'));
    expect(next.kind).toBe('enqueued');
    expect(await enqueueOne(untilTerminal('k'))).toMatchObject({ kind: 'duplicate', job: { jobId: idOf(next) } });
  });

  it('is taken over by one of two in a batch', async () => {
    await finish(idOf(await enqueueOne(untilTerminal('two'))));
    const outcomes = await enqueueMany([
      stage.item(queue, untilTerminal('two')),
      stage.item(queue, untilTerminal('two')),
      stage.item(queue),
    ]);
    expect(kinds(outcomes)).toEqual(['enqueued', 'duplicate', 'enqueued']);
    expect(new Set(outcomes.slice(0, 2).map(idOf)).size).toBe(1);
  });
});

describe('a key with a ttl', () => {
  beforeAll(async () => {
    queue = await stage.queue();
  });

  it('is held to its last instant, and free after it', async () => {
    const original = await enqueueOne(keyed('k', { ttlMs: 60_000 }));
    stage.clock.advance(59_999);
    expect(await enqueueOne(keyed('k'))).toMatchObject({ kind: 'duplicate', job: { jobId: idOf(original) } });
    stage.clock.advance(1);
    const next = await enqueueOne({ ...keyed('k'), payload: Buffer.from('other') });
    expect(next.kind).toBe('enqueued');
    stage.clock.advance(60_000);
    expect(await enqueueOne(keyed('k'))).toMatchObject({ kind: 'duplicate', sameContent: false, job: { jobId: idOf(next) } });
  });
});

describe('an id minted by the client', () => {
  beforeAll(async () => {
    queue = await stage.queue();
  });

  it('makes one job, however often it is sent', async () => {
    const jobId = stage.mint.mint();
    expect(await enqueueOne({ jobId })).toMatchObject({ kind: 'enqueued', job: { jobId } });
    expect(await enqueueOne({ jobId })).toMatchObject({ kind: 'duplicate', sameContent: true, job: { jobId } });
    expect(await enqueueOne({ jobId, type: 'other' })).toMatchObject({ kind: 'duplicate', sameContent: false, job: { jobId } });
  });

  it('that stands twice in a batch makes one job: the first', async () => {
    const jobId = stage.mint.mint();
    const outcomes = await enqueueMany([{}, { type: 'other' }, {}].map((told) => stage.item(queue, { jobId, ...told })));
    expect(outcomes).toMatchObject([
      { kind: 'enqueued' },
      { kind: 'duplicate', sameContent: false },
      { kind: 'duplicate', sameContent: true },
    ]);
    expect((await stage.job(jobId)).type).toBe('');
  });

  it('that is known in another namespace is refused without a word about that job', async () => {
    const jobId = stage.mint.mint();
    await enqueueOne({ jobId }, await stage.queue());
    expect(await enqueueOne({ jobId })).toEqual({ kind: 'id_taken' });
  });

  it('goes before its key: a known id with a new key leaves that key free', async () => {
    const jobId = stage.mint.mint();
    await enqueueOne({ jobId, ...keyed('first') });
    expect(await enqueueOne({ jobId, ...keyed('stray') })).toMatchObject({ kind: 'duplicate', job: { jobId } });
    expect(await enqueueOne(keyed('stray'))).toMatchObject({ kind: 'enqueued' });
  });

  it('that is new, with a known key, gives the job of the key', async () => {
    const original = await enqueueOne(keyed('held'));
    const jobId = stage.mint.mint();
    expect(await enqueueOne({ jobId, ...keyed('held') })).toMatchObject({ kind: 'duplicate', job: { jobId: idOf(original) } });
    expect(await stage.repository.getJobs([jobId])).toEqual([null]);
  });

  it('that stands twice in a batch under two keys leaves the second key free', async () => {
    const jobId = stage.mint.mint();
    const outcomes = await enqueueMany([stage.item(queue, { jobId, ...keyed('one') }), stage.item(queue, { jobId, ...keyed('two') })]);
    expect(kinds(outcomes)).toEqual(['enqueued', 'duplicate']);
    expect(await enqueueOne(keyed('two'))).toMatchObject({ kind: 'enqueued' });
  });

  it('outside every partition is an item that the database refuses', async () => {
    const jobId = parseJobId('00000000-0000-7000-8000-000000000000');
    await expect(enqueueOne({ jobId })).rejects.toMatchObject({ kind: 'bad_item' });
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
