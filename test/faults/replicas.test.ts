import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { SettlementOutcome } from '../../gen/stint/v1/worker_service.ts';
import { Scene } from '../contract/scene.ts';
import { collect, connect, held, seconds, type Stint } from '../contract/stint.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { checkHistory } from '../support/history/check.ts';
import { Load } from '../support/load/load.ts';
import { Replica } from '../support/replicas.ts';
import { buildService } from '../support/service-process.ts';
import { startWireProxy, type WireProxy } from '../support/wire-proxy.ts';

const LIMIT_MS = 120_000;
const COUNT = 3;
const SETTLED_JOBS = 100;
const PARK_MS = 300;
const END_LISTENING_MS = 200;

let database: TestDatabase;
let proxies: readonly WireProxy[];
let replicas: readonly Replica[];
let stints: readonly Stint[];

beforeAll(async () => {
  buildService();
  database = await createDatabase();
  proxies = await Promise.all(Array.from({ length: COUNT }, () => startWireProxy(database.url)));
  replicas = await Promise.all(proxies.map(({ url }) => Replica.start(url)));
  stints = replicas.map(({ address }) => connect(address));
}, LIMIT_MS);

afterAll(async () => {
  for (const stint of stints) stint.close();
  await Promise.all(replicas.map((replica) => replica.close()));
  await Promise.all(proxies.map((proxy) => proxy.close()));
  await database.drop();
}, LIMIT_MS);

/** What every one of them does, named by the replica that acts. */
const actors = ['first', 'second', 'third'].map((name, index) => [name, () => at(index)] as const);

function at(index: number): Stint {
  return stints[index % COUNT] ?? expect.unreachable();
}

describe('three replicas', { timeout: LIMIT_MS }, () => {
  it('serve one lease: claimed on one, renewed on another, acked on the third', async () => {
    const scene = new Scene(at(0));
    const { jobId, leaseToken } = await scene.enqueueAndClaim({}, { leaseDuration: seconds(5) });
    const { results } = await at(1).heartbeat({ workerId: 'worker-1', leases: [{ leaseToken }] });
    expect(results).toMatchObject([{ result: { $case: 'renewed' } }]);
    expect(await at(2).ack({ leaseToken, result: Buffer.from('done') })).toMatchObject({ outcome: SettlementOutcome.APPLIED });
    // Whoever repeats it elsewhere is answered the same.
    expect(await at(1).ack({ leaseToken })).toMatchObject({
      outcome: SettlementOutcome.ALREADY_APPLIED,
      job: { result: Buffer.from('done') },
    });
    expect(await scene.eventTypes(jobId)).toEqual(['enqueued', 'claimed', 'started', 'succeeded']);
    await scene.isSound();
  });

  it('give one job to one worker, and one key to one job, when all are asked at once', async () => {
    const { namespace, queue, claim } = new Scene(at(0));
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, index) => at(index).enqueue({ namespace, job: { queue, type: 'once', idempotencyKey: 'once' } })),
    );
    expect(new Set(answers.map(({ job }) => job?.jobId)).size).toBe(1);
    const claims = await Promise.all(stints.map((stint, index) => stint.claim({ namespace, workerId: `w${index}`, queues: [queue] })));
    expect(claims.flatMap(({ jobs }) => jobs)).toHaveLength(1);
    expect((await claim()).jobs).toEqual([]);
  });

  it('lose, double and misorder nothing under load', async () => {
    const load = await Load.start({ addresses: replicas.map(({ address }) => address) });
    onTestFinished(async () => await load.end());
    await load.untilSettled(SETTLED_JOBS, LIMIT_MS);
    expect(checkHistory(await load.drain())).toEqual([]);
  });
});

/** How the replicas hear of each other: only the time it takes may depend on it. What is given ends it. */
const hearings: readonly (readonly [string, () => Promise<(() => void) | undefined>])[] = [
  ['when each hears the bell of the others', () => Promise.resolve(undefined)],
  ['when their listening sessions are ended again and again', endListening],
  ['when nothing is heard, and nobody is told so', silenceListening],
];

describe.each(hearings)('three replicas, %s,', { timeout: LIMIT_MS }, (_name, disturb) => {
  beforeAll(disturb);

  it.each(actors)('awaits on all of them wake when the job ends on the %s', async (_actor, actor) => {
    const { namespace, enqueueAndClaim } = new Scene(at(0));
    const { jobId, leaseToken } = await enqueueAndClaim();
    const awaits = stints.map((stint) => stint.awaitTerminal({ namespace, jobId }));
    for (const one of awaits) expect(await one.next()).toMatchObject({ terminal: false });
    await actor().ack({ leaseToken });
    const ends = await Promise.all(awaits.map((one) => one.rest()));
    expect(ends.map((messages) => messages.at(-1)?.terminal)).toEqual([true, true, true]);
  });

  it.each(actors)('subscriptions on all of them are told what happens on the %s', async (_actor, actor) => {
    const { namespace, enqueueAndClaim } = new Scene(actor());
    const scope = { $case: 'everything', everything: {} } as const;
    const followers = stints.map((stint) => stint.subscribe({ namespace, scope, start: { $case: 'fromBeginning', fromBeginning: {} } }));
    // What has told of one job stands, and is told of the next as it happens.
    await actor().enqueue({ namespace, job: { queue: 'other', type: 'test' } });
    for (const follower of followers) while ((await follower.next()).events.length === 0);
    const { leaseToken } = await enqueueAndClaim();
    await actor().ack({ leaseToken });
    const told = await Promise.all(followers.map((follower) => collect(follower, ({ length }) => length >= 4)));
    const types = ['enqueued', 'claimed', 'started', 'succeeded'];
    expect(told.map(({ events }) => events.map(({ type }) => type))).toEqual([types, types, types]);
  });

  it.each(actors)('claims that wait on all of them are given what is enqueued on the %s', async (_actor, actor) => {
    const { namespace, queue } = new Scene(at(0));
    const claims = stints.map((stint, index) => stint.claim({ namespace, workerId: `w${index}`, queues: [queue], wait: seconds(14) }));
    // Nothing is claimable, so whatever has come by then waits.
    await Promise.race([...claims, pause(PARK_MS)]);
    const jobs = Array.from({ length: COUNT }, () => ({ queue, type: 'test' }));
    await actor().enqueueBatch({ namespace, jobs });
    const given = await Promise.all(claims);
    expect(new Set(given.map(({ jobs: [one] }) => held(one).jobId)).size).toBe(COUNT);
  });
});

async function endListening(): Promise<() => void> {
  const end = async () => {
    await database.sql`
      select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'stint listen'`;
  };
  await end();
  const ending = setInterval(() => void end(), END_LISTENING_MS);
  return () => clearInterval(ending);
}

/** The connections stay open at both ends, and carry nothing; so it is with those that come instead of them. */
async function silenceListening(): Promise<undefined> {
  for (const proxy of proxies) proxy.silence(({ listens }) => listens);
  await vi.waitFor(() => expect(proxies.every((proxy) => proxy.silenced() > 0)).toBe(true), { timeout: LIMIT_MS });
}
