import { onTestFinished } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { Load, type LoadOptions } from '../support/load/load.ts';
import { type Replica, startReplicas } from '../support/replicas.ts';
import { buildService } from '../support/service-process.ts';

/** Jobs that are settled before a fault, during it or after it: the load was at work. */
const SETTLED_JOBS = 20;
/** Far past what it takes, also on a machine that does much else. */
const SETTLED_WITHIN_MS = 90_000;

export interface ServiceScene {
  readonly replicas: readonly Replica[];
  readonly load: Load;
  /** Resolves when so many more jobs were settled as show that somebody is at work. */
  atWork(): Promise<void>;
}

/** Replicas over a database of their own, under load, until the test ends. */
export async function openServiceScene(count: number, options: Omit<LoadOptions, 'addresses'> = {}): Promise<ServiceScene> {
  buildService();
  const database = await createDatabase();
  onTestFinished(async () => await database.drop());
  const replicas = await startReplicas(database.url, count);
  onTestFinished(async () => void (await Promise.all(replicas.map((replica) => replica.close()))));
  const load = await Load.start({ addresses: replicas.map(({ address }) => address), ...options });
  onTestFinished(async () => await load.end());
  return { replicas, load, atWork: async () => await load.untilSettled(SETTLED_JOBS, SETTLED_WITHIN_MS) };
}
