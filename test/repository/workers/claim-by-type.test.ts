/** Claims by type: the same order as ever, over the types that are asked for and no others. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobId } from '../../../src/domain/job.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { ClaimSlot } from '../../../src/engine/ports/repository.ts';
import { sortingFirst } from '../../../src/engine/workers/sorted-claim.ts';
import { claim } from '../../../src/repository/workers/claim.ts';
import { idsOf, slot, Stage } from '../../engine/stage.ts';
import { put } from '../../support/bounds.ts';
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

async function given(
  types: readonly string[],
  told: Partial<ClaimSlot> = {},
  queues: readonly Queue[] = [queue],
): Promise<readonly JobId[]> {
  const { jobs } = await sortingFirst(stage.repository)(queues, [slot({ maxJobs: 100, ...told })], types);
  return jobs.flatMap(idsOf);
}

const limitsOf = async (types: readonly string[]) => (await sortingFirst(stage.repository)([queue], [slot()], types)).limits;

/** Jobs of these types, one for each letter. */
const enqueue = (types: string, told: { readonly priority?: number } = {}) =>
  stage.enqueue(queue, ...Array.from(types, (type) => ({ type, ...told })));

const sound = async () => expect(await stage.violations(queue.namespace)).toEqual([]);

describe('a claim of some types', () => {
  it('gets those that lie there already, in order, and leaves the others where they are', async () => {
    const ids = await enqueue('abacab');
    expect(await given(['a', 'c'])).toEqual([ids[0], ids[2], ids[3], ids[4]]);
    expect(await given(['a', 'c'])).toEqual([]);
    expect(idsOf(await stage.claim(queue, { maxJobs: 10 }))).toEqual([ids[1], ids[5]]);
    await sound();
  });

  it('goes by priority first, over all its types', async () => {
    const low = await enqueue('abx');
    const high = await enqueue('xba', { priority: 5 });
    expect(await given(['a', 'b'])).toEqual([high[1], high[2], low[0], low[1]]);
  });

  it('gets the best of all types where it wants few', async () => {
    const ids = await enqueue('babab');
    expect(await given(['a', 'b'], { maxJobs: 3 })).toEqual(ids.slice(0, 3));
    expect(await given(['b', 'a'], { maxJobs: 1 })).toEqual([ids[3]]);
    expect(await given(['b', 'never'], { maxJobs: 9 })).toEqual([ids[4]]);
  });

  it('goes over several queues as over one', async () => {
    const other = await stage.queue({ namespace: queue.namespace, name: 'other' });
    const [first] = await enqueue('a');
    const [second] = await stage.enqueue(other, { type: 'a' }, { type: 'b' });
    const [, fourth] = await enqueue('ba');
    expect(await given(['a'], {}, [other, queue])).toEqual([first, second, fourth]);
  });

  it('gets what comes later, by whichever way it becomes READY', async () => {
    expect(await given(['a'])).toEqual([]);
    const [one] = await enqueue('a');
    expect(await given(['a'])).toEqual([one]);
    await sound();
  });

  it('finds a job without a type by none', async () => {
    const [id] = await stage.enqueue(queue, { type: '' });
    expect(await given(['a'])).toEqual([]);
    expect(idsOf(await stage.claim(queue))).toEqual([id]);
  });

  it('gives each of several slots the next of them', async () => {
    const ids = await enqueue('aabaa');
    const { jobs } = await sortingFirst(stage.repository)([queue], [slot({ maxJobs: 3 }), slot({ maxJobs: 3 })], ['a']);
    expect(jobs.map(idsOf)).toEqual([[ids[0], ids[1], ids[3]], [ids[4]]]);
  });

  it('keeps to the bound of a queue over all its types', async () => {
    await put(stage.repository, queue, { maxInFlight: 3 });
    const ids = await enqueue('abababab');
    expect(await given(['a', 'b'])).toEqual(ids.slice(0, 3));
    await sound();
  });

  it('is told of jobs behind a bound only where they are of its types', async () => {
    await put(stage.repository, queue, { maxInFlight: 1 });
    await enqueue('xx');
    await stage.claim(queue);
    expect(await limitsOf(['a'])).toMatchObject([{ limiter: 'MAX_IN_FLIGHT', ready: false }]);
    expect(await limitsOf(['x', 'a'])).toMatchObject([{ limiter: 'MAX_IN_FLIGHT', ready: true }]);
  });

  it('passes over one that has timed out', async () => {
    const timeouts = { scheduleToStartMs: 1_000, startToCloseMs: null, scheduleToCloseMs: null };
    await stage.enqueue(queue, { type: 'a', timeouts });
    const [second] = await enqueue('a');
    stage.clock.advance(2_000);
    expect(await given(['a'])).toEqual([second]);
  });
});

describe('a queue', () => {
  it('is not sorted until it is claimed by type, and then in steps, with what comes between them', async () => {
    const before = await stage.enqueue(queue, ...Array.from({ length: 1_500 }, () => ({ type: 'a' })));
    const typed = async () =>
      (await stage.sql<{ type: string | null }[]>`select type from stint.ready where queue_id = ${queue.id}`).map(({ type }) => type);
    expect(new Set(await typed())).toEqual(new Set([null]));
    expect(await stage.repository.sortByType([queue])).toBe(false);
    const [between] = await enqueue('a');
    // Until all are sorted a claim by type is given nothing: what it would miss might come first.
    const early = await stage.repository.claim([queue], [slot()], ['a']);
    expect(early).toMatchObject({ jobs: [[]], limits: [{ queue: 'q', limiter: 'UNSORTED' }] });
    expect(await stage.repository.sortByType([queue])).toBe(true);
    expect(new Set(await typed())).toEqual(new Set(['a']));
    expect(await given(['a'], { maxJobs: 1_000 })).toEqual(before.slice(0, 1_000));
    expect(await stage.repository.sortByType([queue])).toBe(true);
    expect((await stage.claim(queue, { maxJobs: 1_000 })).length + (await given(['a'], { maxJobs: 1_000 })).length).toBe(501);
    expect(between).toBeDefined();
    await sound();
  });

  it('waits with it for an enqueue that is under way, and has its job in order', async () => {
    const open = await stage.stranger(
      (sql) => sql`select stint.enqueue(namespace => ${queue.namespace}, queue => ${queue.name}, type => 'a', payload => 'x'::bytea)`,
    );
    const second = given(['a']);
    await stage.waitingForLocks(1);
    await open.commit();
    expect(await second).toHaveLength(1);
    await sound();
  });

  it('is found unsound where a token lacks its type (I4)', async () => {
    const [id] = await enqueue('a');
    await given(['never']);
    await stage.sql`update stint.ready set type = 'b' where job = ${id ?? ''}`;
    expect(await stage.violations(queue.namespace)).toMatchObject([{ invariant: 'I4', jobId: id }]);
  });
});

describe('what lies before the jobs of a type', () => {
  it('is not read, however much it is', async () => {
    await given(['b']);
    const alone = await buffersOfClaim();
    await stage.sql`
      insert into stint.ready (shard, queue_id, rank, ord, job, attempt, fence, life, seq, releases, size, checkpointed, type)
      select 0, ${queue.id}, 0, -g, gen_random_uuid(), 0, 0, 1, 1, 0, 600, false, 'a' from generate_series(1, 100000) g`;
    expect(await buffersOfClaim()).toBeLessThan(alone * 1.5 + 50);
    await stage.sql`delete from stint.ready where queue_id = ${queue.id} and type = 'a'`;
  });

  /** Of a claim that gets one of three. */
  async function buffersOfClaim(): Promise<number> {
    const [first] = await enqueue('bbb');
    const { run, plans, close } = await explaining(stage.database.url);
    const { jobs } = await claim(run, null, [queue], [slot()], ['b']);
    await close();
    expect(jobs.flatMap(idsOf)).toEqual([first]);
    await given(['b']);
    expect(plans.get('claim-types')?.scanned).toEqual([]);
    return plans.get('claim-types')?.buffers ?? Infinity;
  }
});

describe('a look at the head of a queue by type', () => {
  it.each([false, true])('tells the same whether it is sorted (%s)', async (isSorted) => {
    const ids = await enqueue('abcab');
    if (isSorted) await given(['never']);
    const peek = async (limit: number, types: readonly string[]) =>
      (await stage.repository.peekQueue(queue, limit, types)).map(({ jobId }) => jobId);
    expect(await peek(10, ['b', 'c'])).toEqual([ids[1], ids[2], ids[4]]);
    expect(await peek(2, ['b', 'a'])).toEqual([ids[0], ids[1]]);
    expect(await peek(10, ['x'])).toEqual([]);
    const [row] = await stage.sql<{ sorted: number }[]>`select sorted from stint.queue where id = ${queue.id}`;
    expect(row).toEqual({ sorted: isSorted ? 2 : 0 });
  });
});
