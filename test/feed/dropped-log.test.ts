/** The log leaves a day at a time; who has not seen what left is told so, and the others notice nothing. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Scene } from '../contract/scene.ts';
import { collect, connect, type Follower, reasonOf, refusal, type Stint } from '../contract/stint.ts';
import type { SubscribeResponse } from '../../gen/stint/v1/event_service.ts';
import { PlayedClock } from '../support/clock.ts';
import { startService, type TestService } from '../support/service.ts';

const DAY_MS = 86_400_000;
const clock = new PlayedClock();

let service: TestService;
let stint: Stint;
let one: Scene;
beforeAll(async () => {
  service = await startService({ clock });
  stint = connect(service.address);
});
beforeEach(() => {
  one = new Scene(stint);
});
afterAll(async () => {
  stint.close();
  await service.stop();
});

const FROM_BEGINNING = { $case: 'fromBeginning', fromBeginning: {} } as const;
const follow = (start: Parameters<Stint['subscribe']>[0]['start']) =>
  stint.subscribe({ namespace: one.namespace, scope: { $case: 'everything', everything: {} }, start });

const after = (cursor: string) => follow({ $case: 'cursor', cursor });

/** Jobs of the events, and the cursor behind the event of the last of them. */
async function until(follower: Follower<SubscribeResponse>, jobId: string) {
  const { events, cursor } = await collect(follower, (seen) => seen.some((event) => event.jobId === jobId));
  return { jobs: events.map((event) => event.jobId), cursor };
}

/** Days later all that was in the log before is gone. */
async function pass(days: number): Promise<void> {
  clock.advance(days * DAY_MS);
  await stint.runUpkeep({});
}

async function partitions(): Promise<number> {
  const [row] = await service.database.sql<{ count: number }[]>`
    select count(*)::int from pg_inherits where inhparent = 'stint.journal'::regclass`;
  return row?.count ?? 0;
}

it('a cursor that has not seen what left is refused, and one that has goes on', async () => {
  const first = await one.enqueue();
  const { cursor: early } = await until(follow(FROM_BEGINNING), first.jobId);
  const second = await one.enqueue();
  const { cursor: late, jobs } = await until(follow(FROM_BEGINNING), second.jobId);
  expect(jobs).toEqual([first.jobId, second.jobId]);
  await pass(9);
  const third = await one.enqueue();
  expect(await reasonOf(after(early).next())).toBe('OUT_OF_RANGE/CURSOR_EXPIRED');
  expect((await until(after(late), third.jobId)).jobs).toEqual([third.jobId]);
  expect((await until(follow(FROM_BEGINNING), third.jobId)).jobs).toEqual([third.jobId]);
  expect((await one.job(first.jobId)).jobId).toBe(first.jobId);
  expect(await one.eventTypes(first.jobId)).toEqual(['enqueued']);
});

it('who is refused is told a cursor that begins with what is left', async () => {
  const first = await one.enqueue();
  const { cursor: early } = await until(follow(FROM_BEGINNING), first.jobId);
  await one.enqueue();
  await pass(9);
  const third = await one.enqueue();
  const { info } = await refusal(after(early).next());
  const oldest = info?.metadata['oldest_cursor'] ?? '';
  expect((await until(after(oldest), third.jobId)).jobs).toEqual([third.jobId]);
  // It outlives what it was told for.
  await pass(9);
  const fourth = await one.enqueue();
  expect((await until(after(oldest), fourth.jobId)).jobs).toEqual([fourth.jobId]);
});

it('a cursor in the middle of what left is refused', async () => {
  const ids: string[] = [];
  for (let count = 0; count < 40; count += 1) ids.push((await one.enqueue()).jobId);
  const follower = follow(FROM_BEGINNING);
  // A message that is not the last of its window: more rows than one read takes lie behind it.
  let cursor = '';
  for (let seen = 0; seen === 0;) {
    const message = await follower.next();
    ({ cursor } = message);
    seen = message.events.filter((event) => ids.includes(event.jobId)).length;
    expect(seen).toBeLessThan(40);
  }
  follower.cancel();
  expect((await until(after(cursor), ids.at(-1) ?? '')).jobs.at(-1)).toBe(ids.at(-1));
  await pass(9);
  expect(await reasonOf(after(cursor).next())).toBe('OUT_OF_RANGE/CURSOR_EXPIRED');
});

it('a follower who keeps up notices nothing', async () => {
  const { jobId } = await one.enqueue();
  const follower = follow(FROM_BEGINNING);
  const seen: string[] = [];
  const next = async (wanted: string) => {
    while (!seen.includes(wanted)) seen.push(...(await follower.next()).events.map((event) => event.jobId));
  };
  await next(jobId);
  await pass(9);
  const later = await one.enqueue();
  await next(later.jobId);
  await pass(1);
  const last = await one.enqueue();
  await next(last.jobId);
  expect(seen).toEqual([jobId, later.jobId, last.jobId]);
  follower.cancel();
});

it('a cursor of a log that is empty by now goes on', async () => {
  const { jobId } = await one.enqueue();
  const { cursor } = await until(follow(FROM_BEGINNING), jobId);
  await pass(20);
  await pass(20);
  const again = after(cursor);
  await again.next();
  const later = await one.enqueue();
  expect((await until(again, later.jobId)).jobs).toEqual([later.jobId]);
});

it('what is older than seven days leaves, and no more', async () => {
  await one.enqueue();
  await pass(6);
  const { jobId } = await one.enqueue();
  const { cursor } = await until(follow(FROM_BEGINNING), jobId);
  await pass(6);
  expect((await until(follow(FROM_BEGINNING), jobId)).jobs).toEqual([jobId]);
  expect(await after(cursor).next()).toMatchObject({ events: [] });
  expect(await partitions()).toBeLessThanOrEqual(14);
});
