import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Queue } from '../../../src/domain/queue.ts';
import { GroupCommit } from '../../../src/engine/group-commit.ts';
import type { ClaimedJob, HeartbeatItem, Repository } from '../../../src/engine/ports/repository.ts';
import type { HeartbeatOutcome } from '../../../src/engine/ports/leases.ts';
import { StoreError } from '../../../src/engine/ports/store-error.ts';
import type { DropItem, SessionBeat, SessionBeaten } from '../../../src/engine/ports/work.ts';
import { Keeper } from '../../../src/engine/work/keeper.ts';
import { listed, renewedUntil, SESSION_MS } from '../../support/sessions.ts';
import { Stage, tokenOf } from '../stage.ts';

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

/** The keeper of one stream, and what it asked of storage: beats of sessions, and leases that were written one by one. */
function keeperOn(repository: Pick<Repository, 'beatSessions' | 'heartbeatMany' | 'dropLeases'> = stage.repository) {
  const asked = { beats: 0, opened: 0, written: 0, dropped: 0 };
  const lane = { tenantOf: () => '', bytesOf: () => 0 };
  const keeper = new Keeper({
    beats: new GroupCommit<SessionBeat, SessionBeaten>({
      ...{ ...lane, name: 'beats' },
      commit: (beats) => {
        for (const { opensForMs } of beats) asked[opensForMs === null ? 'beats' : 'opened'] += 1;
        return repository.beatSessions(beats);
      },
    }),
    heartbeats: new GroupCommit<HeartbeatItem, HeartbeatOutcome>({
      ...{ ...lane, name: 'heartbeats' },
      commit: (items) => {
        asked.written += items.length;
        return repository.heartbeatMany(items);
      },
    }),
    drops: new GroupCommit<DropItem, boolean>({
      ...{ ...lane, name: 'drops' },
      commit: (items) => {
        asked.dropped += items.length;
        return repository.dropLeases(items);
      },
    }),
  });
  const renew = (...held: readonly ClaimedJob[]) => keeper.renew(held.map(listed), SESSION_MS);
  return { keeper, asked, renew };
}

async function claimed(count: number, leaseDurationMs = SESSION_MS): Promise<readonly ClaimedJob[]> {
  await stage.enqueue(queue, ...Array.from({ length: count }, () => ({})));
  return stage.claim(queue, { maxJobs: count, leaseDurationMs });
}

const renewed = () => renewedUntil(stage.now + SESSION_MS * 1_000);

describe('the keeper of a stream', () => {
  it('writes each lease once, and from then on one row', async () => {
    const { asked, renew } = keeperOn();
    const held = await claimed(5);
    expect(await renew(...held)).toEqual(held.map(renewed));
    expect(asked).toEqual({ beats: 0, opened: 1, written: 5, dropped: 0 });
    for (let beat = 1; beat <= 3; beat += 1) {
      stage.clock.advance(20_000);
      expect(await renew(...held)).toEqual(held.map(renewed));
    }
    expect(asked).toEqual({ beats: 3, opened: 1, written: 5, dropped: 0 });
    const [more] = await claimed(1);
    expect(await renew(...held, more ?? expect.unreachable())).toHaveLength(6);
    expect(asked).toMatchObject({ opened: 1, written: 6 });
  });

  it('asks for nothing where nothing is listed', async () => {
    const { asked, renew } = keeperOn();
    expect(await renew()).toEqual([]);
    expect(asked).toEqual({ beats: 0, opened: 0, written: 0, dropped: 0 });
  });

  it('begins anew when its session has lapsed, and tells which leases are lost', async () => {
    const { asked, renew } = keeperOn();
    const held = await claimed(2);
    await renew(...held);
    stage.clock.advance(SESSION_MS + 4_999);
    expect(await renew(...held.slice(0, 1))).toEqual([renewed()]);
    stage.clock.advance(1);
    expect(await renew(...held)).toEqual([renewed(), { kind: 'lease_lost', reason: 'EXPIRED' }]);
    expect(asked).toMatchObject({ opened: 2, written: 4 });
  });

  it('takes over what another stream kept', async () => {
    const [former, present] = [keeperOn(), keeperOn()];
    const held = await claimed(2);
    await former.renew(...held);
    await present.renew(...held);
    stage.clock.advance(20_000);
    await present.renew(...held);
    expect(present.asked).toEqual({ beats: 1, opened: 1, written: 2, dropped: 0 });
    expect(await former.keeper.drop(held.map(tokenOf))).toEqual([false, false]);
    expect(await present.keeper.drop(held.map(tokenOf))).toEqual([true, true]);
  });

  it('renews for its own time what runs otherwise long, and all of it once the stream runs so', async () => {
    const { keeper, asked, renew } = keeperOn();
    const [long = expect.unreachable()] = await claimed(1, 60_000);
    await renew(long);
    expect(await renew(long)).toEqual([renewedUntil(stage.now + 60_000_000, 60_000)]);
    expect(asked).toMatchObject({ opened: 1, written: 2 });
    await keeper.renew([listed(long)], 60_000);
    expect(await keeper.renew([listed(long)], 60_000)).toEqual([renewedUntil(stage.now + 60_000_000, 60_000)]);
    expect(asked).toMatchObject({ opened: 2, written: 3 });
  });

  it('writes what brings a checkpoint, in its place', async () => {
    const { keeper, asked, renew } = keeperOn();
    const held = await claimed(3);
    await renew(...held);
    const items = held.map((one, index) => ({ token: tokenOf(one), checkpoint: index === 1 ? Buffer.from('c') : null }));
    expect(await keeper.renew(items, SESSION_MS)).toEqual(held.map(renewed));
    expect(asked).toMatchObject({ written: 4 });
    expect(await stage.sql`select 1 from stint.checkpoint where job = ${held[1]?.job.jobId ?? ''}`).toHaveLength(1);
  });

  it('opens one session however many beats come at once', async () => {
    const { asked, renew } = keeperOn();
    const held = await claimed(4);
    await Promise.all(held.map((one) => renew(one)));
    stage.clock.advance(20_000);
    expect(await renew(...held)).toEqual(held.map(renewed));
    expect(asked).toMatchObject({ opened: 1, written: 4 });
  });

  it('keeps nothing that was told to be lost, also where nobody could be told', async () => {
    const broken = { ...stage.repository, dropLeases: () => Promise.reject(new StoreError('unavailable', 'away')) };
    for (const [repository, opened] of [
      [stage.repository, 1],
      [broken, 2],
    ] as const) {
      const { keeper, asked, renew } = keeperOn(repository);
      const [lost = expect.unreachable(), other = expect.unreachable()] = await claimed(2);
      await renew(lost, other);
      await keeper.forget(tokenOf(lost));
      stage.clock.advance(20_000);
      await renew(other);
      stage.clock.advance(SESSION_MS + 4_999);
      await stage.repository.expireLeases();
      const states = (await stage.repository.getJobs([lost.job.jobId, other.job.jobId])).map((job) => job?.state);
      expect(states).toEqual(['RETRY_WAIT', 'RUNNING']);
      expect(asked).toMatchObject({ opened });
      stage.clock.advance(1);
      await stage.repository.expireLeases();
    }
  });
});
