import { setTimeout as pause } from 'node:timers/promises';
import type { TestDatabase } from '../support/database.ts';
import type { Level, MeasuredService, Objects } from '../support/measured-service.ts';

/** Longer than anything that a service still does for callers who have gone; only a leak waits for its end. */
const SETTLED_WITHIN_MS = 60_000;
/** Each look collects garbage, and is work for the service too. */
const LOOK_AGAIN_MS = 150;
/** Together longer than the feed goes without a look. */
const LOOKS = 4;
const LOOKS_APART_MS = 400;

/** What a service holds for its clients. */
export interface Holding {
  readonly sockets: number;
  readonly timers: number;
  /** Connections to the database on which something runs. */
  readonly busy: number;
  /** Heap and buffers. */
  readonly bytes: number;
  readonly level: Level;
}

/** Without the connections of its pools, which open as they are needed and stay: a socket each. */
export async function holdingOf(service: MeasuredService, database: TestDatabase): Promise<Holding> {
  const connections = await connectionsOf(database);
  const pools = countOf(connections);
  const busy = countOf(connections.filter(({ state }) => state !== 'idle'));
  const level = await service.measure();
  const { TCPSocketWrap = 0, Timeout = 0 } = level.handles;
  return { sockets: TCPSocketWrap - pools, timers: Timeout, busy, bytes: level.heapBytes + level.externalBytes, level };
}

/**
 * Once it holds no more sockets and timers than before, and does nothing for callers who have gone. Upkeep comes and goes, so
 * that moment is looked for until it is found.
 */
export async function settled(service: MeasuredService, database: TestDatabase, before: Holding): Promise<Holding> {
  return await lookFor(
    () => holdingOf(service, database),
    ({ sockets, timers, busy }) => sockets <= before.sockets && timers <= before.timers && busy === 0,
    ({ sockets, timers, busy }) =>
      `there stay ${sockets} sockets, ${timers} timers and ${busy} busy connections; before ${before.sockets}, ${before.timers} and none`,
  );
}

/** The lowest of some looks: the feed gives up what it kept for its readers a while after they have gone. */
export async function lowestLevel(service: MeasuredService): Promise<Level> {
  let lowest = await service.measure();
  for (let look = 1; look < LOOKS; look += 1) {
    await pause(LOOKS_APART_MS);
    const level = await service.measure();
    if (level.heapBytes < lowest.heapBytes) lowest = level;
  }
  return lowest;
}

/** As `settled`, for the objects that are reachable. */
export async function settledObjects(service: MeasuredService, before: Objects): Promise<void> {
  await lookFor(
    () => service.countObjects(),
    ({ streams, signals, sets }) => streams <= before.streams && signals <= before.signals && sets <= before.sets,
    (objects) => `there stay ${JSON.stringify(objects)}, before ${JSON.stringify(before)}`,
  );
}

async function lookFor<Found>(look: () => Promise<Found>, isIt: (found: Found) => boolean, complain: (found: Found) => string) {
  const deadline = performance.now() + SETTLED_WITHIN_MS;
  for (;;) {
    const found = await look();
    if (isIt(found)) return found;
    if (performance.now() > deadline) throw new Error(complain(found));
    await pause(LOOK_AGAIN_MS);
  }
}

export interface PoolConnections {
  /** As the connections of the service name themselves. */
  readonly pool: string;
  readonly state: string;
  readonly count: number;
}

export function countOf(connections: readonly PoolConnections[]): number {
  return connections.reduce((sum, { count }) => sum + count, 0);
}

/** What the service has open at the database. */
export async function connectionsOf({ sql }: TestDatabase): Promise<PoolConnections[]> {
  return await sql<PoolConnections[]>`
    select application_name as pool, state, count(*)::int as count from pg_stat_activity
     where datname = current_database() and application_name like 'stint %' group by 1, 2 order by 1, 2`;
}
