import { describe, expect, it } from 'vitest';
import type { JobId } from '../../src/domain/job.ts';
import type { Journal, LogPosition } from '../../src/engine/ports/journal.ts';
import { OpenTransaction } from './open-transaction.ts';
import type { Replica } from './replica.ts';
import { useScene } from './scene.ts';
import { enqueue, enqueueInTurn } from './work.ts';

const scene = useScene();

/** More rows than one read of the log takes. */
const MANY = 40;

async function queueOf({ store }: Replica, namespace: string) {
  const [queue] = await store.repository.createQueues([{ namespace, name: 'q' }]);
  if (queue === undefined) throw new Error('no queue was made');
  return queue;
}

/** Jobs told between a position and what is visible now, and the position behind them. */
async function readOn(journal: Journal, from: LogPosition): Promise<{ readonly jobIds: readonly JobId[]; readonly position: LogPosition }> {
  const jobIds: JobId[] = [];
  let position = from;
  for (;;) {
    const chunk = await journal.read(position, null);
    jobIds.push(...chunk.events.map(({ event }) => event.jobId));
    position = chunk.position;
    if (chunk.complete) return { jobIds, position };
  }
}

describe('a commit that lands after a younger transaction was read', () => {
  it.each([
    ['alone', 1],
    ['among many', MANY],
  ])('is told once, %s', async (_how, count) => {
    const replica = await scene.replica();
    const { journal } = replica.store;
    const namespace = scene.namespace();
    const queue = await queueOf(replica, namespace);
    const start = await journal.head();
    const older = await OpenTransaction.begin(scene.database.url);
    const late: JobId[] = [];
    while (late.length < count) late.push(...(await older.enqueue(queue, 1)));
    const younger = await enqueue(replica.engine, namespace);
    const before = await readOn(journal, start);
    expect(before.jobIds).toEqual([younger]);
    await older.commit();
    const youngest = await enqueueInTurn(replica.engine, namespace, count);
    const after = await readOn(journal, before.position);
    expect(after.jobIds).toEqual([...late, ...youngest]);
    expect((await readOn(journal, after.position)).jobIds).toEqual([]);
  });
});
