import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseJobId, type JobId, type JobSpec } from '../../../src/domain/job.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { EnqueueItem, EnqueueOutcome } from '../../../src/engine/ports/repository.ts';
import { Stage, tokenOf } from '../../engine/stage.ts';

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
afterAll(() => stage.close());

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

async function finish(jobId: JobId): Promise<void> {
  const claimed = await stage.claim(queue, { maxJobs: 1_000 });
  await stage.repository.ackMany(claimed.map((one) => ({ token: tokenOf(one), result: Buffer.from('x'), contentType: '' })));
  expect(await stage.job(jobId)).toMatchObject({ state: 'SUCCEEDED' });
}

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
