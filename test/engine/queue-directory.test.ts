import { describe, expect, it } from 'vitest';
import { queueKey, type Queue, type QueueName } from '../../src/domain/queue.ts';
import { StoreError } from '../../src/engine/ports/store-error.ts';
import { QueueDirectory } from '../../src/engine/queue-directory.ts';

function queueOf(told: QueueName, id: number): Queue {
  return {
    ...told,
    id,
    epoch: 1,
  };
}

/** A directory over a storage that counts what it is asked for. */
function directoryOver(...standing: QueueName[]) {
  const queues = new Map(standing.map((told, index) => [queueKey(told), queueOf(told, index + 1)]));
  const asked: string[][] = [];
  const directory = new QueueDirectory({
    resolveQueues: async (names) => {
      asked.push(names.map(queueKey));
      return names.map((one) => queues.get(queueKey(one)) ?? null);
    },
    createQueues: async (names) => {
      asked.push(names.map(queueKey));
      return names.map((one) => {
        const queue = queues.get(queueKey(one)) ?? queueOf(one, queues.size + 1);
        queues.set(queueKey(one), queue);
        return queue;
      });
    },
  });
  return { directory, asked, queues };
}

const named = (name: string): QueueName => ({ namespace: 'n', name });
const namesOf = (queues: readonly (Queue | null)[]) => queues.map((queue) => queue?.name ?? null);

describe('the queue directory', () => {
  it('asks for each queue once, and answers by place', async () => {
    const { directory, asked } = directoryOver(named('a'), named('b'));
    expect(namesOf(await directory.find([named('b'), named('a'), named('b')]))).toEqual(['b', 'a', 'b']);
    expect(namesOf(await directory.find([named('a'), named('b')]))).toEqual(['a', 'b']);
    expect(asked).toEqual([['n/b', 'n/a']]);
  });

  it('asks again for a queue that was not there', async () => {
    const { directory, queues } = directoryOver();
    expect(await directory.find([named('a')])).toEqual([null]);
    queues.set('n/a', queueOf(named('a'), 7));
    expect(await directory.find([named('a')])).toMatchObject([{ id: 7 }]);
  });

  it('tells namespaces apart', async () => {
    const { directory } = directoryOver(named('a'), { namespace: 'm', name: 'a' });
    const [one, two] = await directory.find([named('a'), { namespace: 'm', name: 'a' }]);
    expect([one?.namespace, two?.namespace]).toEqual(['n', 'm']);
  });

  it('makes what is missing, and only that', async () => {
    const { directory, asked } = directoryOver(named('a'));
    await directory.find([named('a')]);
    expect(namesOf(await directory.ensure([named('b'), named('a'), named('b'), named('c')]))).toEqual(['b', 'a', 'b', 'c']);
    expect(namesOf(await directory.ensure([named('a'), named('b')]))).toEqual(['a', 'b']);
    expect(asked).toEqual([['n/a'], ['n/b', 'n/c']]);
  });

  it('remembers 10,000 queues and forgets the oldest first, also while it makes more than that', async () => {
    const { directory, asked } = directoryOver();
    const names = Array.from({ length: 10_001 }, (_, index) => named(`q${index}`));
    expect(await directory.ensure(names)).toHaveLength(10_001);
    asked.length = 0;
    await directory.find([named('q1'), named('q10000')]);
    expect(asked).toEqual([]);
    await directory.find([named('q0')]);
    expect(asked).toEqual([['n/q0']]);
  });

  it('answers with a queue that is forgotten on the way', async () => {
    const names = Array.from({ length: 10_000 }, (_, index) => named(`q${index}`));
    const { directory } = directoryOver(...names, named('one more'));
    await directory.find(names);
    expect(namesOf(await directory.find([named('q0'), named('one more')]))).toEqual(['q0', 'one more']);
  });

  it('forgets everything in another history', async () => {
    const { directory, asked, queues } = directoryOver(named('a'));
    await directory.find([named('a')]);
    directory.clear();
    queues.set('n/a', queueOf(named('a'), 9));
    expect(await directory.find([named('a')])).toMatchObject([{ id: 9 }]);
    expect(asked).toHaveLength(2);
  });

  it('forgets what work has found to be of another history, and has it done once more', async () => {
    const { directory, queues } = directoryOver(named('a'));
    await directory.find([named('a')]);
    queues.set('n/a', queueOf(named('a'), 9));
    const found = await directory.inCurrentHistory(async () => {
      const [queue] = await directory.find([named('a')]);
      if (queue?.id !== 9) throw new StoreError('other_history', 'the database was restored');
      return queue.id;
    });
    expect(found).toBe(9);
  });

  it.each([
    ['once more and no oftener', 'other_history', 2],
    ['not again where something else went wrong', 'unavailable', 1],
  ] as const)('does work %s', async (_, kind, times) => {
    const { directory } = directoryOver();
    let done = 0;
    const work = async () => {
      done += 1;
      throw new StoreError(kind, 'no');
    };
    await expect(directory.inCurrentHistory(work)).rejects.toMatchObject({ kind });
    expect(done).toBe(times);
  });
});
