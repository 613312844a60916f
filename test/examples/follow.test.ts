/** The example that follows a namespace into a file, as it is run: a process that is killed again and again while jobs flow. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { EventFile } from '../../examples/event-file.ts';
import { Scene } from '../contract/scene.ts';
import { collect, connect, type Stint } from '../contract/stint.ts';
import { makeFolder } from '../embedded/starter.ts';
import { projectRoot } from '../house/source.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { startReplicas, type Replica } from '../support/replicas.ts';
import { buildService } from '../support/service-process.ts';

/** More for a long run; about a second each. */
const KILLS = Number(process.env['STINT_FOLLOW_KILLS'] ?? 10);
const LIMIT_MS = 120_000 + KILLS * 3_000;
const STALE_MS = 3_000;
/** Between two turns of the load: what follows is killed in its midst, not starved by it. */
const REST_MS = 30;
const FROM_BEGINNING = { $case: 'fromBeginning', fromBeginning: {} } as const;

let database: TestDatabase;
let replicas: readonly Replica[];
let stint: Stint;

beforeAll(async () => {
  buildService();
  database = await createDatabase();
  replicas = await startReplicas(database.url, 2);
  stint = connect(addresses().slice('ipv4:'.length));
}, LIMIT_MS);
afterAll(async () => {
  stint.close();
  await Promise.all(replicas.map((replica) => replica.close()));
  await database.drop();
});

const addresses = () => `ipv4:${replicas.map(({ address }) => address).join(',')}`;

function follow(path: string, ...args: string[]): ChildProcess {
  const script = join(projectRoot, 'dist/examples/follow.js');
  const child = spawn(process.execPath, [script, path, '--address', addresses(), ...args], { stdio: ['ignore', 'inherit', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

async function ended(child: ChildProcess): Promise<{ readonly code: number | null; readonly errors: string }> {
  let errors = '';
  child.stderr?.on('data', (data: Buffer) => (errors += data.toString()));
  await once(child, 'close');
  return { code: child.exitCode, errors };
}

const sizeOf = (path: string) => (existsSync(path) ? statSync(path).size : 0);

/** Waits until the file has grown, then a little longer: in the midst of whatever it does then; or for as long as nothing comes. */
async function killAtRandom(child: ChildProcess, path: string): Promise<void> {
  const before = sizeOf(path);
  if (Math.random() < 0.7) {
    const since = performance.now();
    while (sizeOf(path) === before && performance.now() - since < STALE_MS) await pause(1);
  }
  await pause(Math.random() * 150);
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

/** Whole lives of jobs, one turn after the other; tells of each turn which jobs it had. */
function startLoad({ namespace, queue }: Scene) {
  const turns: string[][] = [];
  let going = true;
  const run = async () => {
    while (going) {
      const count = 1 + Math.floor(Math.random() * 60);
      const { results } = await stint.enqueueBatch({ namespace, jobs: Array.from({ length: count }, () => ({ queue, type: 'test' })) });
      turns.push(results.flatMap(({ result }) => (result?.$case === 'job' ? [result.job.jobId] : [])));
      const { jobs } = await stint.claim({ namespace, workerId: 'w', queues: [queue], maxJobs: count });
      const settlements = jobs.map(({ lease }) => ({ leaseToken: lease?.leaseToken ?? '', action: { $case: 'ack' as const, ack: {} } }));
      await stint.settle({ settlements });
      await pause(REST_MS);
    }
  };
  const running = run();
  return {
    turns,
    end: async () => {
      going = false;
      await running;
    },
  };
}

interface Line {
  readonly jobId: string;
  readonly sequence: string;
}

const eventsIn = (path: string): Line[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{"namespace"'))
    .map(parseLine);

function parseLine(text: string): Line {
  const line: Line = JSON.parse(text);
  return line;
}

const keyOf = ({ jobId, sequence }: Line | { jobId: string; sequence: bigint }) => `${jobId}/${sequence}`;

describe('follow', { timeout: LIMIT_MS }, () => {
  it('killed at any moment has every event once and in order, whichever replica goes away meanwhile', async () => {
    const scene = new Scene(stint);
    const path = join(makeFolder(), 'events.jsonl');
    const load = startLoad(scene);
    for (let kill = 0; kill < KILLS; kill += 1) await killAtRandom(follow(path, '--namespace', scene.namespace), path);
    await load.end();
    const [first] = replicas;
    const child = follow(path, '--namespace', scene.namespace);
    // One replica says goodbye, comes back; a while later the other is gone without a word.
    expect(await first?.terminate()).toBe(0);
    await first?.restart();
    await replicas[1]?.kill();
    await replicas[1]?.restart();
    await stint.connected();
    const last = await scene.enqueue();
    await vi.waitFor(() => expect(eventsIn(path).at(-1)?.jobId).toBe(last.jobId), { timeout: 30_000, interval: 50 });
    child.kill('SIGTERM');
    expect(await ended(child)).toEqual({ code: 0, errors: '' });
    const keys = eventsIn(path).map(keyOf);
    const committed = await database.sql`select id from stint.job where namespace = ${scene.namespace}`;
    const jobs = new Set(committed.map(({ id }) => String(id)));
    const subscription = stint.subscribe({
      namespace: scene.namespace,
      scope: { $case: 'everything', everything: {} },
      start: FROM_BEGINNING,
    });
    const { events } = await collect(subscription, (seen) => seen.length >= keys.length);
    expect(keys.toSorted()).toEqual(events.map(keyOf).toSorted());
    expect(new Set(keys.map((key) => key.split('/')[0]))).toEqual(jobs);
    expect(keys).toHaveLength(new Set(keys).size);
    const place = new Map(keys.map((key, index) => [key, index]));
    const placesOf = (jobId: string) => [1, 2, 3, 4].map((sequence) => place.get(`${jobId}/${sequence}`) ?? -1);
    let before = -1;
    for (const turn of load.turns) {
      const places = turn.map(placesOf);
      for (const own of places) expect(own).toEqual(own.toSorted((a, b) => a - b));
      // The turn before it was settled and answered before this one was sent.
      expect(Math.min(...places.flat())).toBeGreaterThan(before);
      before = Math.max(...places.flat());
    }
  });

  it('stops loudly where the file cannot be continued, and goes on with what there is when it is told to', async () => {
    const scene = new Scene(stint);
    const { jobId } = await scene.enqueue();
    const path = join(makeFolder(), 'events.jsonl');
    const file = await EventFile.open(path);
    await file.append([], await expiredCursor(scene));
    await file.close();
    const stopped = await ended(follow(path, '--namespace', scene.namespace));
    expect(stopped).toMatchObject({ code: 3, errors: expect.stringContaining('cannot be continued without a gap') });
    const child = follow(path, '--namespace', scene.namespace, '--from-oldest');
    await vi.waitFor(() => expect(eventsIn(path).map(({ jobId }) => jobId)).toEqual([jobId]), { timeout: 20_000, interval: 50 });
    child.kill('SIGINT');
    expect(await ended(child)).toMatchObject({ code: 0 });
  });

  it('says how it is used', async () => {
    expect(await ended(follow('a', 'b'))).toMatchObject({ code: 2, errors: expect.stringMatching(/^usage: follow FILE/) });
  });
});

/** Of the same namespace in another history of the database. */
async function expiredCursor({ namespace }: Scene): Promise<string> {
  const other = await createDatabase();
  const [replica] = await startReplicas(other.url, 1);
  const elsewhere = connect(replica?.address ?? '');
  try {
    const follower = elsewhere.subscribe({ namespace, scope: { $case: 'everything', everything: {} }, start: FROM_BEGINNING });
    const { cursor } = await follower.next();
    follower.cancel();
    return cursor;
  } finally {
    elsewhere.close();
    await replica?.close();
    await other.drop();
  }
}
