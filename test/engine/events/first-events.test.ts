import { describe, expect, it } from 'vitest';
import type { HistoryQuery, WantedEvents } from '../../../src/engine/ports/events.ts';
import { firstEvents } from '../../../src/engine/events/first-events.ts';
import { jobId } from '../../feed/memory-journal.ts';
import { JobHistory } from './job-history.ts';

const custom = (customType: string) => ({ type: 'custom', customType, data: new Uint8Array(), contentType: '', state: 'READY' }) as const;

describe('the first events of many', () => {
  it('are read together, each history once from each sequence, for all the types', async () => {
    const job = new JobHistory();
    for (const type of ['a', 'b', 'a', 'b']) job.append({ detail: custom(type) });
    const statements: unknown[] = [];
    const read = firstEvents((asked: readonly HistoryQuery[], limit: number, wanted?: WantedEvents) => {
      statements.push({ asked, wanted });
      return job.histories(asked, limit, wanted);
    });
    const queries = [
      ...Array.from({ length: 50 }, () => ({ jobId: jobId(1), after: 0, type: 'a' })),
      { jobId: jobId(1), after: 0, type: 'b' },
      { jobId: jobId(1), after: 1, type: 'a' },
      { jobId: jobId(1), after: 3, type: 'a' },
    ];
    const found = await read(queries);
    expect(found.map((one) => one?.event?.sequence)).toEqual([...queries.slice(0, 50).map(() => 1), 2, 3, undefined]);
    expect(statements).toEqual([{ asked: [0, 1, 3].map((after) => ({ jobId: jobId(1), after })), wanted: { types: ['a', 'b'] } }]);
  });

  it('have looked through all that was read, and no more', async () => {
    const job = new JobHistory();
    for (let count = 0; count < 6; count += 1) job.append({ detail: custom('other') });
    const read = firstEvents(job.histories);
    const ask = (after: number, ...types: readonly string[]) => read(types.map((type) => ({ jobId: jobId(1), after, type })));
    expect(await ask(0, 'a')).toMatchObject([{ event: null, looked: 6, latestSequence: 6 }]);
    expect(await ask(0, 'a', 'other')).toMatchObject([{ looked: 4 }, { event: { sequence: 1 } }]);
    expect(await ask(4, 'a', 'other')).toMatchObject([{ looked: 6 }, { event: { sequence: 5 } }]);
    const cut = firstEvents(async (...asked) =>
      (await job.histories(...asked)).map((history) => history && { ...history, events: history.events.slice(0, 1), isCut: true }),
    );
    expect(await cut(['a', 'other'].map((type) => ({ jobId: jobId(1), after: 0, type })))).toMatchObject([{ looked: 1 }, {}]);
    job.isPruned = true;
    expect(await ask(0, 'a')).toEqual([null]);
  });
});
