/** A replica that remembers queues by the numbers they had before the database was restored behind its back. */
import { describe, expect, it } from 'vitest';
import { useScene } from '../feed/scene.ts';
import { claim, enqueue, enqueueTogether, spec } from '../feed/work.ts';

const scene = useScene();

/** The restored state is of before the queue was made, and its number has gone to a stranger's queue with a job in it. */
async function restoreWithNumberTaken(namespace: string): Promise<{ stranger: string }> {
  const { sql } = scene.database;
  const stranger = scene.namespace();
  const [queue] = await sql<{ id: number }[]>`select id from stint.queue where namespace = ${namespace}`;
  if (queue === undefined) throw new Error('nobody made the queue');
  await sql`delete from stint.ready where queue_id = ${queue.id}`;
  await sql`update stint.queue set namespace = ${stranger}, name = 'theirs' where id = ${queue.id}`;
  await sql`update stint.epoch set system_identifier = system_identifier + 1`;
  return { stranger };
}

const countIn = async (namespace: string) => {
  const rows = await scene.database
    .sql`select j.id from stint.job j join stint.queue q on q.id = j.queue_id where q.namespace = ${namespace}`;
  return rows.length;
};

describe('a queue remembered from a former history', () => {
  it('gets no job of ours where its number is a stranger’s now', async () => {
    const { engine } = await scene.replica();
    const namespace = scene.namespace();
    await enqueue(engine, namespace);
    const { stranger } = await restoreWithNumberTaken(namespace);
    const before = await countIn(stranger);
    await enqueue(engine, namespace);
    await enqueueTogether(engine, namespace, 3);
    const batch = [1, 2].map(() => ({ ok: true as const, value: spec() }));
    await engine.jobs.enqueueBatch({ namespace, items: batch, atomic: false });
    expect([await countIn(namespace), await countIn(stranger)]).toEqual([6, before]);
  });

  it('gives no job of a stranger to our worker', async () => {
    const [ours, theirs] = [await scene.replica(), await scene.replica()];
    const namespace = scene.namespace();
    await enqueue(ours.engine, namespace);
    const { stranger } = await restoreWithNumberTaken(namespace);
    const jobId = await enqueue(theirs.engine, stranger, { queue: 'theirs' });
    expect(await claim(ours.engine, namespace)).toEqual([]);
    expect(await claim(theirs.engine, stranger, { queues: ['theirs'] })).toMatchObject([{ jobId }]);
  });

  it('shows no job of a stranger', async () => {
    const [ours, theirs] = [await scene.replica(), await scene.replica()];
    const namespace = scene.namespace();
    await enqueue(ours.engine, namespace);
    const { stranger } = await restoreWithNumberTaken(namespace);
    await enqueue(theirs.engine, stranger, { queue: 'theirs' });
    const peeked = await ours.engine.queues.peekQueue({ namespace, queue: 'q', pageSize: 10 });
    expect(peeked).toMatchObject({ ok: false, refusal: { kind: 'queue_not_found' } });
  });

  it('keeps no key of ours', async () => {
    const { engine } = await scene.replica();
    const namespace = scene.namespace();
    const keyed = { idempotency: { key: 'k', scope: 'RETAINED' as const, ttlMs: null } };
    const former = await enqueue(engine, namespace, keyed);
    await restoreWithNumberTaken(namespace);
    expect(await enqueue(engine, namespace, keyed)).not.toBe(former);
  });

  it('makes the partitions that an older state has not', async () => {
    const { engine } = await scene.replica();
    const namespace = scene.namespace();
    await enqueue(engine, namespace);
    const { sql } = scene.database;
    const partitions = await sql<{ name: string }[]>`
      select inhrelid::regclass::text as name from pg_inherits where inhparent = 'stint.job'::regclass or inhparent = 'stint.journal'::regclass`;
    for (const { name } of partitions) await sql.unsafe(`drop table ${name}`);
    await sql`update stint.epoch set system_identifier = system_identifier + 1`;
    await enqueue(engine, namespace);
    expect(await countIn(namespace)).toBe(1);
  });
});
