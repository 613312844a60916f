import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import type { Run } from '../../../src/repository/database.ts';
import { DueLook } from '../../../src/repository/upkeep/next-due.ts';
import { Stage } from '../../engine/stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
});
afterAll(() => stage.close());

it('tells when the first lease ends, at every look', async () => {
  const { lease } = await stage.held(await stage.queue());
  for (let look = 0; look < 3; look += 1) {
    expect(await stage.repository.nextDue()).toMatchObject({ leaseEndsAt: lease.expiresAt + 5_000_000, databaseTime: stage.now });
  }
});

/** Looks of a database that takes so long, and whether each read the leases; the first lease ends at 1 s of its time. */
function slowLooks(tookMs: number) {
  const time = { ms: 0 };
  vi.spyOn(performance, 'now').mockImplementation(() => time.ms);
  const due = new DueLook();
  const instantAt = (ms: number) => new Date(ms).toISOString().replace('T', ' ').replace('Z', '+00');
  const read: unknown[] = [];
  const run: Run = async (_, values) => {
    const { withLeases } = values as { withLeases: boolean };
    read.push(withLeases);
    time.ms += tookMs;
    return [
      {
        now: instantAt(time.ms),
        lease_ends_at: withLeases ? instantAt(1_000) : null,
        promote_at: null,
        time_out_at: null,
        unblock_at: null,
        fold_at: null,
      },
    ];
  };
  const lookAt = async (ms: number) => {
    time.ms = ms;
    return (await due.look(run, null)).leaseEndsAt;
  };
  return { lookAt, read };
}

it('reads slow leases only so often, and tells meanwhile what it saw until that has passed', async () => {
  const { lookAt, read } = slowLooks(200);
  const ends = [await lookAt(0), await lookAt(500), await lookAt(1_500), await lookAt(4_100), await lookAt(4_201)];
  vi.restoreAllMocks();
  expect(read).toEqual([true, false, false, false, true]);
  expect(ends).toEqual([1_000_000, 1_000_000, null, null, 1_000_000]);
});

it('reads leases every ten seconds, however slow that is', async () => {
  const { lookAt, read } = slowLooks(5_000);
  await lookAt(0);
  await lookAt(14_999);
  await lookAt(15_000);
  vi.restoreAllMocks();
  expect(read).toEqual([true, false, true]);
});
