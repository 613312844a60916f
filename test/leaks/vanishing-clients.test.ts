/** Clients that vanish in the middle of each call, in every way a client can: what they leave behind (I14). */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Scene } from '../contract/scene.ts';
import { connect, type Stint } from '../contract/stint.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { type MeasuredService, type Objects, startMeasuredService } from '../support/measured-service.ts';
import { WIRE_CALLS } from './calls.ts';
import { kill, startClientProcess } from './client-process.ts';
import { prepareGround, type StockedGround } from './ground.ts';
import { connectionsOf, countOf, type Holding, holdingOf, lowestLevel, settled, settledObjects } from './level.ts';
import { cancel, RawConnection } from './raw-connection.ts';
import { trendOf } from './trend.ts';
import { vanish } from './vanishing.ts';

/** Only what never ends takes so long. */
const LIMIT_MS = 240_000;

/** Enough for every function on the way to be compiled, every pool to be full and every cache to be there. */
const WARM_UP_CALLS = 2_500;
const ROUNDS = 4;
const CALLS_PER_ROUND = 2_500;
/** Of the calls of a round, so many can end a lease. */
const LEASES_PER_ROUND = 400;

/**
 * What a call may leave on the heap, on average. What is compiled late comes to some dozen bytes a call; every call carries
 * texts of a few hundred bytes that are its own, and most bodies of 4 KiB, so that whatever is kept of one kind of call in
 * forty shows. What is smaller is counted as an object.
 */
const BYTES_PER_CALL = 200;
/** In buffers: a fortieth of the bodies that may be kept. */
const EXTERNAL_BYTES_PER_CALL = 100;

const POOLS = { 'stint feed': 2, 'stint hot': 12, 'stint listen': 1, 'stint slow': 2, 'stint upkeep': 3 };

let database: TestDatabase;
let service: MeasuredService;
let stint: Stint;
let scene: Scene;
let ground: StockedGround;
let before: Holding;
let objectsBefore: Objects;

beforeAll(async () => {
  database = await createDatabase();
  service = await startMeasuredService(database.url);
  stint = connect(service.address);
  scene = new Scene(stint);
  ground = await prepareGround(stint, scene.namespace);
  const idle = await holdingOf(service, database);
  await round(WARM_UP_CALLS);
  before = await settled(service, database, idle);
  objectsBefore = await service.countObjects();
}, LIMIT_MS);

afterAll(async () => {
  stint.close();
  await service.stop();
  await database.drop();
});

async function round(calls: number): Promise<void> {
  await ground.stock(LEASES_PER_ROUND);
  await vanish(service.address, ground, calls);
}

/** By a line through the rounds: a single level says little. */
function growthPerCall(levels: readonly number[]): number {
  return trendOf(levels.map((bytes, index) => ({ x: index * CALLS_PER_ROUND, y: bytes }))).slope;
}

/** Each of them waits for something, and for a time. */
const waiting = WIRE_CALLS.filter(({ parks }) => parks);
const ofEach = 20;
const AT_LAST = { timeout: 60_000, interval: 50 };

type Streams = readonly ReturnType<RawConnection['send']>[];

describe('a client with calls that wait', { timeout: LIMIT_MS }, () => {
  it.each<[string, (connection: RawConnection, streams: Streams) => Promise<void>]>([
    ['cancels them', (connection, streams) => (streams.forEach(cancel), connection.hangUp())],
    ['resets its connection', (connection) => connection.reset()],
    ['hangs up', (connection) => connection.hangUp()],
  ])('%s: they are over', async (_name, go) => {
    const connection = await RawConnection.open(service.address);
    const streams = waiting.flatMap((call) =>
      Array.from({ length: ofEach }, () => connection.send(call.path, call.frame(ground), call.staysOpen)),
    );
    await untilTheyWait(streams.length);
    await go(connection, streams);
    await settled(service, database, before);
  });

  it('is killed: they are over', async () => {
    const client = await startClientProcess(service.address, ground, ofEach);
    await untilTheyWait(waiting.length * ofEach);
    await kill(client);
    await settled(service, database, before);
  });

  async function untilTheyWait(calls: number): Promise<void> {
    await vi.waitFor(async () => {
      const { timers } = await holdingOf(service, database);
      expect(timers).toBeGreaterThanOrEqual(before.timers + calls);
    }, AT_LAST);
  }
});

describe(`${ROUNDS * CALLS_PER_ROUND} calls whose clients vanish`, { timeout: LIMIT_MS }, () => {
  it('leave no connection, stream, timer or memory behind', async () => {
    const levels = [await lowestLevel(service)];
    for (let done = 0; done < ROUNDS; done += 1) {
      await round(CALLS_PER_ROUND);
      await settled(service, database, before);
      levels.push(await lowestLevel(service));
    }
    await settledObjects(service, objectsBefore);
    const [heap, external] = [levels.map(({ heapBytes }) => heapBytes), levels.map(({ externalBytes }) => externalBytes)];
    expect(growthPerCall(heap), `heap ${heap.join(', ')}`).toBeLessThan(BYTES_PER_CALL);
    expect(growthPerCall(external), `buffers ${external.join(', ')}`).toBeLessThan(EXTERNAL_BYTES_PER_CALL);
  });

  it('leave no more connections to the database than its pools have', async () => {
    const connections = await connectionsOf(database);
    for (const [pool, size] of Object.entries(POOLS)) {
      expect(countOf(connections.filter((connection) => connection.pool === pool)), pool).toBeLessThanOrEqual(size);
    }
  });

  it('leave every job sound', async () => {
    await scene.isSound();
  });
});
