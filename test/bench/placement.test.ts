import { describe, expect, it } from 'vitest';
import type { Cell } from '../../bench/cells.ts';
import type { Place, Task } from '../../bench/messages.ts';
import { tasksOf } from '../../bench/placement.ts';
import { queuesOf } from '../../bench/route.ts';

const cell = (told: Partial<Cell>): Cell => ({ name: 'c', load: 'lifecycle', batch: 10, callers: 8, variants: ['service'], ...told });
const ground = (replicas: number) => ({ targets: Array.from({ length: replicas }, (_, at) => `replica-${at}`), queue: 'q' });
const placesIn = (tasks: readonly (Task | null)[]): readonly Place[] => tasks.flatMap((task) => task?.places ?? []);

describe('the callers of a cell', () => {
  it('are spread over the processes as evenly as it goes; a process without one has no task', () => {
    expect(tasksOf(cell({ callers: 3 }), 'service', ground(1), 2).map((task) => task?.callers)).toEqual([2, 1]);
    expect(tasksOf(cell({ callers: 1 }), 'service', ground(1), 2)[1]).toBeNull();
  });

  it('share one route to the only replica', () => {
    const [task] = tasksOf(cell({}), 'service', ground(1), 2);
    expect(task).toMatchObject({ target: 'replica-0', places: undefined });
  });

  it('are spread over the replicas as evenly as it goes, also within a process', () => {
    const tasks = tasksOf(cell({ callers: 64 }), 'service', ground(4), 2);
    const targets = placesIn(tasks).map(({ target }) => target);
    expect(targets).toHaveLength(64);
    for (const target of ground(4).targets) expect(targets.filter((one) => one === target)).toHaveLength(16);
  });

  it.each([1, 3, 8, 10, 1_000])('have %i queues among them, each its own share', (queues) => {
    const shares = placesIn(tasksOf(cell({ queues, own: 'queues' }), 'service', ground(1), 2)).map(queuesOf);
    expect(shares).toHaveLength(8);
    expect(new Set(shares.flat())).toEqual(new Set(queuesOf({ queue: 'q', queues })));
    if (queues >= 8) expect(shares.flat()).toHaveLength(queues);
    for (const share of shares) expect(share.length).toBeGreaterThan(0);
  });

  it('have a session each where each is a worker', () => {
    const tasks = tasksOf(cell({ own: 'session', credits: 5, callers: 10 }), 'work', ground(1), 2);
    expect(placesIn(tasks)).toHaveLength(10);
    expect(placesIn(tasks)[0]).toMatchObject({ through: 'work', credits: 5 });
  });
});
