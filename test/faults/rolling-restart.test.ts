import { expect, it, onTestFinished } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { startReplicas } from '../support/replicas.ts';
import { restartEach } from '../support/rolling-restart.ts';
import { buildService } from '../support/service-process.ts';
import { claim, Follower, produce, stream } from './restart-actors.ts';
import { RestartClient } from './restart-client.ts';

const LIMIT_MS = 240_000;
const ROUNDS = 2;
const PRODUCERS = 8;

it(
  'a client of three replicas rides through their restart, one after the other: nothing is lost, done twice or refused for good',
  { timeout: LIMIT_MS },
  async () => {
    buildService();
    const database = await createDatabase();
    const replicas = await startReplicas(database.url, 3);
    const client = new RestartClient(replicas.map(({ address }) => address));
    const follower = new Follower(client);
    const [enough, leaving] = [new AbortController(), new AbortController()];
    onTestFinished(async () => {
      for (const told of [enough, leaving]) told.abort();
      client.close();
      await Promise.all(replicas.map((replica) => replica.close()));
      await database.drop();
    });
    const ended = new Set<string>();
    const workers = [
      ...['c1', 'c2'].map((workerId) => claim(client, workerId, leaving.signal)),
      ...['s1', 's2'].map((workerId) => stream(client, workerId, leaving.signal)),
      follower.follow(leaving.signal),
    ];
    const producers = Array.from({ length: PRODUCERS }, () => produce(client, ended, enough.signal));
    const all = Promise.all([...workers, ...producers]);
    const restarts = async () => {
      for (let round = 0; round < ROUNDS; round += 1) await restartEach(replicas);
    };
    await Promise.race([restarts(), all]);
    enough.abort();
    await Promise.race([Promise.all(producers), all]);
    // What comes later are claims that wait in vain.
    const { longestPauseMs } = client;
    await Promise.race([follower.heardOf(ended), all]);
    leaving.abort();
    await all;
    console.log(`Node: ${ended.size} jobs, longest pause ${longestPauseMs.toFixed(0)} ms, seen ${JSON.stringify([...client.seen])}`);
    expect(ended.size).toBeGreaterThan(0);
    const told = await database.sql`select count(*)::int as count from stint.terminal`;
    expect(told).toEqual([{ count: ended.size }]);
  },
);
