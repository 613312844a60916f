/** A bounded queue over three replicas, of which one dies, with workers that die: no bound is passed, and no slot is lost. */
import { expect, it, onTestFinished } from 'vitest';
import { connect, seconds, type Stint } from '../contract/stint.ts';
import { Onlooker } from '../races/bounded.ts';
import { countsOf, NONE } from '../support/bounds.ts';
import { createDatabase } from '../support/database.ts';
import { Load } from '../support/load/load.ts';
import { startReplicas } from '../support/replicas.ts';
import { buildService } from '../support/service-process.ts';

const LIMIT_MS = 120_000;
const MAX_IN_FLIGHT = 5;
/** Of a worker that is killed the slots come back after its lease of 2 s and the grace that the queues are given here. */
const GRACE_S = 1;
const SETTLED_JOBS = 15;

it('keep max_in_flight through a killed replica and killed workers, and no slot leaks', { timeout: LIMIT_MS }, async () => {
  buildService();
  const database = await createDatabase();
  onTestFinished(async () => await database.drop());
  const replicas = await startReplicas(database.url, 3);
  onTestFinished(async () => void (await Promise.all(replicas.map((replica) => replica.close()))));
  const addresses = replicas.map(({ address }) => address);
  const stint: Stint = connect(addresses[0] ?? '');
  onTestFinished(() => stint.close());
  const namespace = 'load';
  for (const name of ['a', 'b'])
    await stint.putQueue({ namespace, queue: { name, maxInFlight: MAX_IN_FLIGHT, leaseGrace: seconds(GRACE_S) } });
  const queues = await database.sql<{ id: number; name: string }[]>`select id, name from stint.queue where namespace = ${namespace}`;
  const onlooker = Onlooker.begin(database.sql, queues);
  const load = await Load.start({ addresses, namespace, producers: 1, workers: 4, subscribers: 0, awaiters: 0 });
  onTestFinished(async () => await load.end());
  await load.untilSettled(SETTLED_JOBS, LIMIT_MS);
  const [one, two] = load.of('worker');
  await one?.kill();
  await replicas[1]?.kill();
  await load.untilSettled(SETTLED_JOBS, LIMIT_MS);
  await two?.kill();
  await replicas[1]?.restart();
  await load.untilSettled(SETTLED_JOBS, LIMIT_MS);
  await load.drain();
  const seen = await onlooker.end();
  for (const queue of queues) {
    // Or it was kept by nobody's wish to pass it.
    expect(seen.get(queue.id)?.inFlight).toBe(MAX_IN_FLIGHT);
    expect(await countsOf(database.sql, queue)).toEqual({ counted: NONE, there: NONE });
  }
});
