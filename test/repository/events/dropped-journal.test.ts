/** Whether a reader of the journal has seen what left it: by snapshots, whoever was open beside the last rows. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Queue } from '../../../src/domain/queue.ts';
import type { LogPosition } from '../../../src/engine/ports/journal.ts';
import { Stage } from '../../engine/stage.ts';

const DAY_MS = 86_400_000;

let stage: Stage;
let queue: Queue;
beforeEach(async () => {
  stage = await Stage.open();
  queue = await stage.queue();
});
afterEach(() => stage.close());

const journal = () => stage.store.journal;

/** All that is in the journal is dropped. */
async function drop(): Promise<void> {
  stage.clock.advance(9 * DAY_MS);
  stage.mint.setDatabaseTime(stage.now);
  await stage.repository.ensurePartitions();
  expect(await stage.repository.dropPartitions()).toBeGreaterThan(0);
}

const xmaxOf = ({ seen }: LogPosition) => seen?.split(':')[1];

const read = (position: LogPosition) => journal().read(position, null);

async function expectGoesOn(position: LogPosition): Promise<void> {
  await journal().expectRetained(position);
  const [jobId] = await stage.enqueue(queue, {});
  expect((await read(position)).events.map(({ event }) => event.jobId)).toContain(jobId);
}

async function expectMissed(position: LogPosition): Promise<void> {
  await expect(journal().expectRetained(position)).rejects.toThrow('not kept so far back');
  await expect(read(position)).rejects.toThrow('not kept so far back');
}

describe('a position', () => {
  it('behind all that left goes on, and one before it has missed something', async () => {
    const before = await journal().head();
    await stage.enqueue(queue, {});
    const behind = await journal().head();
    await drop();
    await expectMissed(before);
    await expectGoesOn(behind);
  });

  it('that has seen nothing begins with what is left', async () => {
    await stage.enqueue(queue, {});
    const { epoch } = await journal().head();
    await drop();
    await expectGoesOn({ epoch, seen: null, window: null });
  });

  it.each(['seen nothing', 'seen something'])('in the middle of a window, which had %s before, has missed the rest of it', async (told) => {
    const { epoch, seen } = await journal().head();
    for (let count = 0; count < 40; count += 1) await stage.enqueue(queue, {});
    const { position, complete } = await read({ epoch, seen: told === 'seen nothing' ? null : seen, window: null });
    expect(complete).toBe(false);
    await drop();
    await expectMissed(position);
  });

  it('in the middle of a window, behind what left, goes on', async () => {
    const start = await journal().head();
    await stage.enqueue(queue, {});
    stage.clock.advance(5 * DAY_MS);
    stage.mint.setDatabaseTime(stage.now);
    await stage.repository.ensurePartitions();
    for (let count = 0; count < 40; count += 1) await stage.enqueue(queue, {});
    const { position } = await read(start);
    stage.clock.advance(4 * DAY_MS);
    expect(await stage.repository.dropPartitions()).toBeGreaterThan(0);
    await journal().expectRetained(position);
    expect((await read(position)).events).toHaveLength(9);
    await expectMissed(start);
  });

  it('with a transaction open that wrote elsewhere goes on, while that is open and when it has ended', async () => {
    const stranger = await stage.stranger(
      (sql) => sql`insert into stint.paused_namespace (shard, namespace, reason, at) values (0, 'x', '', now())`,
    );
    await stage.enqueue(queue, {});
    const position = await journal().head();
    expect(position.seen).toMatch(/:\d+:\d+/);
    await drop();
    await expectGoesOn(position);
    await stranger.commit();
    await expectGoesOn(position);
  });

  it('with a transaction open that wrote what left has missed something', async () => {
    const { namespace, name } = queue;
    const stranger = await stage.stranger((sql) => sql`select stint.enqueue(${name}, namespace => ${namespace})`);
    await stage.enqueue(queue, {});
    const position = await journal().head();
    await stranger.commit();
    const behind = await journal().head();
    await drop();
    await expectMissed(position);
    await expectGoesOn(behind);
  });

  it('is the head of a journal of which only a row of an older transaction is left', async () => {
    await stage.enqueue(queue, {});
    await drop();
    await stage.sql`
      insert into stint.journal (shard, epoch, xid, at, types, jobs, queue_ids)
      select 0, f.epoch, (f.xid::text::bigint - 1)::text::xid8, ${stage.clock.now().toISOString()}, array[1], array[gen_random_uuid()], array[${queue.id}::int]
        from stint.journal_floor f`;
    await expectGoesOn(await journal().head());
  });

  it('is the head of a journal of which nothing is left', async () => {
    await stage.enqueue(queue, {});
    const behind = await journal().head();
    await drop();
    // Whatever else was open then, autovacuum perhaps.
    expect(xmaxOf(await journal().head())).toBe(xmaxOf(behind));
    await expectGoesOn(await journal().head());
  });
});
