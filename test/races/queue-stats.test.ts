/** The numbers of queues while many move tokens, and several fold the journal, of whom one is killed again and again. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DATABASE_CLOCK } from '../../src/engine/ports/clock.ts';
import type { Repository } from '../../src/engine/ports/repository.ts';
import { Database } from '../../src/repository/database.ts';
import { miscountedQueues } from '../../src/repository/queues/miscounted-queues.ts';
import { foldJournal } from '../../src/repository/upkeep/fold-journal.ts';
import { recountOf, toldOf } from '../engine/queue-stats.ts';
import { PATIENT, Stage } from '../engine/stage.ts';
import { put } from '../support/bounds.ts';
import { type Deed, Lane } from './bounded.ts';

const FOLDER = join(import.meta.dirname, 'fold-in-child.ts');
const LANES = 6;
const TRIES = 50;
const ROUNDS = 5;
/** So few that a fold ends between two transactions of many. */
const FOLD_BATCH = 3;

let stage: Stage;
let replicas: readonly Repository[];
beforeAll(async () => {
  stage = await Stage.open();
  replicas = [
    await stage.another({ settings: PATIENT, clock: DATABASE_CLOCK }),
    await stage.another({ settings: PATIENT, clock: DATABASE_CLOCK }),
  ];
});
afterAll(() => stage.close());

const ROUND: readonly Deed[] = [
  { kind: 'enqueue', count: 4 },
  { kind: 'claim', count: 3, start: true },
  { kind: 'fail_for_good' },
  { kind: 'enqueue_later', count: 2 },
  { kind: 'claim', count: 2, start: false },
  { kind: 'retry' },
  { kind: 'release' },
  { kind: 'suspend' },
  { kind: 'sweep' },
  { kind: 'cancel' },
  { kind: 'fail' },
  { kind: 'resume' },
  { kind: 'ack' },
];

async function foldUntil(over: AbortSignal): Promise<void> {
  const database = new Database({ url: stage.database.url, connections: 1, applicationName: 'a folder', settings: 'hot' });
  while (!over.aborted) await foldJournal({ run: database.run, slow: database.run }, null, FOLD_BATCH);
  await database.close();
}

/** Processes that fold, each killed in the midst of it; how often. */
async function killUntil(over: AbortSignal): Promise<number> {
  let kills = 0;
  const ended = once(over, 'abort');
  while (!over.aborted) {
    const child = spawn(process.execPath, ['--import', 'tsx', FOLDER, stage.database.url], { stdio: ['ignore', 'pipe', 'inherit'] });
    // A line for each fold that did something: the next one is under way.
    await Promise.race([once(child.stdout, 'data'), ended]);
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    expect((await exit)[1]).toBe('SIGKILL');
    kills += 1;
  }
  return kills;
}

it('are those of a recount at every instant, whoever folds and whoever is killed', { timeout: 120_000 }, async () => {
  const one = await stage.queue();
  const { namespace } = one;
  const two = await stage.queue({ namespace, name: 'two' });
  const copies = await stage.queue({ namespace, name: 'copies' });
  for (const from of [one, two]) await put(stage.repository, from, { deadLetterQueue: 'copies' });
  await put(stage.repository, two, { maxInFlight: 1_000 });
  const end = new AbortController();
  const over = end.signal;
  const folding = [foldUntil(over), foldUntil(over)];
  const killing = killUntil(over);
  let looks = 0;
  const looking = (async () => {
    const database = new Database({ url: stage.database.url, connections: 1, applicationName: 'an onlooker', settings: 'hot' });
    for (; !over.aborted; looks += 1) expect((await miscountedQueues(database.run, namespace, '')).violations).toEqual([]);
    await database.close();
  })();
  const lanes = Array.from(
    { length: LANES },
    (_, index) =>
      new Lane({
        stage,
        repository: replicas[index % 2] ?? expect.unreachable(),
        queues: index % 3 === 0 ? [two, one] : [one, two],
        tries: TRIES,
      }),
  );
  const work = Promise.all(lanes.map((lane) => lane.act(Array.from({ length: ROUNDS }, () => ROUND).flat())));
  await work.finally(() => end.abort());
  await Promise.all([looking, ...folding]);
  expect(await killing).toBeGreaterThan(0);
  expect(looks).toBeGreaterThan(5);
  for (let left = true; left;) left = (await stage.repository.foldJournal()).count > 0;
  for (const queue of [one, two, copies]) expect(await toldOf(stage.repository, queue)).toEqual(await recountOf(stage.sql, queue));
  expect(await stage.violations(namespace)).toEqual([]);
});
