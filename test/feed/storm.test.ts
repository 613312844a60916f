/**
 * Writers who hold transactions open and commit them in any order, workers, awaits, and readers who come and go, on two real
 * replicas whose doorbell is lost again and again, and who are killed. On a third one, to which no ring ever gets through, others wait and
 * come to no other. What was random is told by a seed, for what it is worth: the processes keep a time of their own.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import type { Event } from '../../gen/stint/v1/event.ts';
import { connect, type Stint } from '../contract/stint.ts';
import { connectionsOf } from '../leaks/level.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { Replica } from '../support/replicas.ts';
import { buildService } from '../support/service-process.ts';
import { startWireProxy, type WireProxy } from '../support/wire-proxy.ts';
import { keyOf, StandingReader, StormReader, type View } from './storm-reader.ts';
import {
  type Done,
  enqueueAndAwait,
  enqueueInTransactions,
  LONG,
  passing,
  produceAndWork,
  type Storm,
  workOnSome,
} from './storm-writers.ts';

/** More for a long run. */
const STORM_MS = 1_000 * Number(process.env['STINT_STORM_SECONDS'] ?? 8);
const SEED = Number(process.env['STINT_STORM_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
/** On a slow machine it goes on until so much was answered, or for so much longer: few commits show little. */
const ENOUGH = 300;
const LONGER_MS = 30_000;
const LIMIT_MS = STORM_MS + 180_000;
const CAUGHT_UP_WITHIN_MS = 60_000;
const NAMESPACE = 'storm';
const QUEUES = ['a', 'b', 'c'];
const LONG_JOBS = 3;
const DOORS = 4;
const AWAITS = 3;

let database: TestDatabase;
let proxies: readonly WireProxy[];
let replicas: readonly Replica[];
let stints: readonly Stint[];
/** The replica that hears nothing. Nobody else asks it for anything, which would make it look. */
let deaf: { readonly proxy: WireProxy; readonly replica: Replica; readonly stint: Stint };
beforeAll(async () => {
  buildService();
  database = await createDatabase();
  proxies = await Promise.all([startWireProxy(database.url), startWireProxy(database.url)]);
  replicas = await Promise.all(proxies.map(({ url }) => Replica.start(url)));
  stints = replicas.map(({ address }) => connect(address));
  const proxy = await startWireProxy(database.url);
  const replica = await Replica.start(proxy.url);
  proxy.silence(({ listens }) => listens);
  deaf = { proxy, replica, stint: connect(replica.address) };
}, LIMIT_MS);
afterAll(async () => {
  [...stints, deaf.stint].forEach((stint) => stint.close());
  await Promise.all([...replicas, deaf.replica].map((replica) => replica.close()));
  await Promise.all([...proxies, deaf.proxy].map((proxy) => proxy.close()));
  await database.drop();
});

/** Uniform in [0, 1), the same for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function viewsOf(longJobs: readonly string[]): readonly View[] {
  const everything = { $case: 'everything', everything: {} } as const;
  const all = { name: 'everything', scope: everything, types: [], wants: () => true };
  const types = ['enqueued', 'succeeded'];
  const ends = { name: 'ends', scope: everything, types, wants: ({ type }: Event) => types.includes(type) };
  const queues = QUEUES.slice(0, 2).map((queue, index) => {
    const claims = index === 0 ? [] : ['claimed'];
    const wants = (event: Event) => event.queue === queue && (claims.length === 0 || claims.includes(event.type));
    return { name: `queue ${queue}`, scope: { $case: 'queue', queue } as const, types: claims, wants };
  });
  const jobs = longJobs.map((jobId, index) => {
    const own = index === 0 ? ['released', 'retry_scheduled'] : [];
    const wants = (event: Event) => event.jobId === jobId && (own.length === 0 || own.includes(event.type));
    return { name: `job ${index}`, scope: { $case: 'jobId', jobId } as const, types: own, wants };
  });
  return [all, { ...all, goesBack: true }, ends, ...queues, ...jobs.map((view) => ({ ...view, goesBack: true }))];
}

async function loseBells(storm: Storm): Promise<number> {
  let lost = 0;
  while (storm.going()) {
    await pause(50 + storm.random() * 400);
    const proxy = proxies[Math.floor(storm.random() * proxies.length)];
    // Neither end learns of it, until the session is ended.
    if (storm.random() < 0.5) proxy?.silence(({ listens }) => listens);
    else {
      proxies.forEach((one) => one.silence(() => false));
      lost += await endListening();
    }
  }
  proxies.forEach((one) => one.silence(() => false));
  return lost;
}

/** Ends every session that listens; gives how many there were. */
async function endListening(): Promise<number> {
  const ended = await database.sql`
    select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'stint listen'`;
  return ended.length;
}

async function killReplicas(): Promise<void> {
  for (const replica of replicas) {
    await pause(STORM_MS / 4);
    await replica.kill();
    await replica.restart();
  }
}

/** Until nothing is left to do: every job has ended. */
async function finish(storm: Storm): Promise<void> {
  const deadline = performance.now() + CAUGHT_UP_WITHIN_MS;
  for (;;) {
    await Promise.all(stints.map(() => passing(() => workOnSome(storm, 400))));
    const [left] = await database.sql`
      select count(*)::int as jobs from stint.job j
       where j.namespace = ${NAMESPACE} and not exists (select 1 from stint.terminal t where t.shard = j.shard and t.job = j.id)`;
    if (left?.['jobs'] === 0) return;
    expect(performance.now(), `${left?.['jobs']} jobs do not end`).toBeLessThan(deadline);
  }
}

/** All that was committed, by the histories of the jobs. */
async function committedEvents(stint: Stint): Promise<readonly Event[]> {
  const jobs = await database.sql<{ id: string }[]>`select id from stint.job where namespace = ${NAMESPACE}`;
  const events: Event[] = [];
  for (let from = 0; from < jobs.length; from += 50) {
    const some = jobs.slice(from, from + 50).map(({ id }) => historyOf(stint, id));
    for (const history of await Promise.all(some)) events.push(...history);
  }
  return events;
}

async function historyOf(stint: Stint, jobId: string): Promise<Event[]> {
  const events: Event[] = [];
  for (let pageToken = ''; ;) {
    const page = await stint.listEvents({ namespace: NAMESPACE, jobId, pageSize: 1_000, pageToken });
    events.push(...page.events);
    if (page.nextPageToken === '') return events;
    pageToken = page.nextPageToken;
  }
}

/** Pairs of which the first was answered before the second was sent, and was told after it. */
function misordered(events: readonly Event[], done: readonly Done[]): string[] {
  const places = new Map(events.map(({ jobId, type }, index) => [`${jobId}:${type}`, index]));
  const told = done
    .map((one) => ({ ...one, place: places.get(one.fact) ?? -1 }))
    .filter(({ place }) => place >= 0)
    .toSorted((a, b) => a.place - b.place);
  // In the order in which they were told, nobody's answer lies before the sending of an earlier one.
  let latest = { sent: 0, fact: '' };
  return told.flatMap(({ fact, sent, answered }) => {
    const found = answered < latest.sent ? [`${fact} → ${latest.fact}`] : [];
    if (sent > latest.sent) latest = { sent, fact };
    return found;
  });
}

function outOfSequence(events: readonly Event[], isWhole: boolean): string[] {
  const last = new Map<string, bigint>();
  return events.flatMap((event) => {
    const before = last.get(event.jobId) ?? 0n;
    last.set(event.jobId, event.sequence);
    return (isWhole ? event.sequence === before + 1n : event.sequence > before) ? [] : [`${keyOf(event)} after ${before}`];
  });
}

it(
  `readers miss nothing, are told nothing twice and in order, and awaits wake, in a storm (STINT_STORM_SEED=${SEED})`,
  { timeout: LIMIT_MS },
  async () => {
    const until = performance.now() + STORM_MS;
    const done: Done[] = [];
    const of = (lane: number): Storm => ({
      stints,
      namespace: NAMESPACE,
      queues: QUEUES,
      random: seeded(SEED + lane),
      going: () => performance.now() < until || (done.length < ENOUGH && performance.now() < until + LONGER_MS),
      done,
    });
    // Two transactions that make the same two queues in opposite orders would wait for each other.
    for (const name of QUEUES) await stints[0]?.putQueue({ namespace: NAMESPACE, queue: { name } });
    const specs = Array.from({ length: LONG_JOBS }, () => ({ queue: 'a', type: LONG, retry: { maxAttempts: 1_000 } }));
    const { results } = (await stints[0]?.enqueueBatch({ namespace: NAMESPACE, jobs: specs })) ?? expect.unreachable();
    const longJobs = results.map(({ result }) => (result?.$case === 'job' ? result.job.jobId : expect.unreachable()));
    const readers = viewsOf(longJobs).map((view, index) => new StormReader(stints, NAMESPACE, view, seeded(SEED + 100 + index)));
    const { going } = of(0);
    const reading = readers.map((reader) => reader.runWhile(going));
    const awaiting = Array.from({ length: AWAITS }, (_, lane) => enqueueAndAwait(of(10 + lane), stints));
    const unheard = enqueueAndAwait(of(10 + AWAITS), [deaf.stint]);
    const standing = new StandingReader(deaf.stint, NAMESPACE, LIMIT_MS);
    const writing = Array.from({ length: DOORS }, (_, lane) => enqueueInTransactions(of(20 + lane), database.url));
    const [lost] = await Promise.all([
      loseBells(of(1)),
      killReplicas(),
      produceAndWork(of(2)),
      produceAndWork(of(3)),
      ...writing,
      ...reading,
    ]);
    expect(lost).toBeGreaterThan(0);
    await finish(of(4));
    const awaits = await Promise.all([...awaiting, unheard]);
    expect(awaits.flatMap(({ missed }) => missed)).toEqual([]);
    expect(Math.min(...awaits.map(({ woken }) => woken))).toBeGreaterThan(0);
    const committed = await committedEvents(stints[0] ?? expect.unreachable());
    const wantedBy = (reader: StormReader) => committed.filter(reader.view.wants).map(keyOf);
    await Promise.all(readers.map((reader) => reader.untilCount(wantedBy(reader).length, CAUGHT_UP_WITHIN_MS)));
    for (const reader of readers) {
      const { name, types } = reader.view;
      expect(reader.faults).toEqual([]);
      expect(reader.events.map(keyOf).toSorted(), name).toEqual(wantedBy(reader).toSorted());
      expect(outOfSequence(reader.events, types.length === 0), name).toEqual([]);
      expect(misordered(reader.events, done), name).toEqual([]);
    }
    await vi.waitFor(() => expect([standing.fault, standing.events.length]).toEqual([null, committed.length]), {
      timeout: CAUGHT_UP_WITHIN_MS,
      interval: 100,
    });
    await standing.leave();
    expect(standing.events.map(keyOf).toSorted()).toEqual(committed.map(keyOf).toSorted());
    expect(outOfSequence(standing.events, true)).toEqual([]);
    expect(misordered(standing.events, done)).toEqual([]);
    expect(committed.length).toBeGreaterThan(100);
    // What the deaf one gave up hangs in its proxy, as in a network that has gone: only those who live come back.
    await deaf.replica.close();
    await endListening();
    // Nobody listens who was given up for another, and nothing is done for readers who have gone.
    await vi.waitFor(
      async () => {
        const connections = await connectionsOf(database);
        expect(connections.filter(({ pool }) => pool === 'stint listen').reduce((sum, { count }) => sum + count, 0)).toBe(2);
        expect(connections.filter(({ state }) => state !== 'idle')).toEqual([]);
      },
      { timeout: CAUGHT_UP_WITHIN_MS, interval: 200 },
    );
    expect(await stints[0]?.checkInvariants({ namespace: NAMESPACE, pageSize: 1_000 })).toMatchObject({ violations: [] });
  },
);
