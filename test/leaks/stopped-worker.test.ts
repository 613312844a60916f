/** Workers that stop reading their streams, and streams that are cut: what they hold, what they cost, what stays of them. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type WorkOpen, WorkerServiceService, WorkRequest } from '../../gen/stint/v1/worker_service.ts';
import { Scene } from '../contract/scene.ts';
import { connect, type Stint } from '../contract/stint.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { type MeasuredService, startMeasuredService } from '../support/measured-service.ts';
import { framed } from './calls.ts';
import { type Holding, holdingOf, lowestLevel, settled, settledObjects } from './level.ts';
import { cancel, RawConnection } from './raw-connection.ts';
import { trendOf } from './trend.ts';

const MIB = 1024 * 1024;
const STOPPED = 30;
const CREDITS = 100;
const PAYLOAD_BYTES = 64 * 1024;
/** As many as they all would hold: kept for each as they come, twice as much as is allowed. */
const JOBS = STOPPED * CREDITS;
const JOBS_AT_ONCE = 50;
/** One message: its jobs as they were read, and the same as they are written. */
const BYTES_PER_STREAM = 5.5 * MIB;
/** Of the level before: statements that were prepared, code that was compiled. */
const LEVEL_BYTES = 6 * MIB;

const ROUNDS = 4;
const CONNECTIONS = 10;
const STREAMS = 50;
/** What a stream may leave behind, on average: what is compiled late comes to some two hundred bytes, a session to some thousands. */
const BYTES_LEFT = 500;

/** Only what never comes takes so long. */
const LIMIT_MS = 240_000;
const AT_LAST = { timeout: 60_000, interval: 100 };

let database: TestDatabase;
let service: MeasuredService;
let stint: Stint;
let scene: Scene;

beforeAll(async () => {
  database = await createDatabase();
  service = await startMeasuredService(database.url);
  stint = connect(service.address);
  scene = new Scene(stint);
}, LIMIT_MS);

afterAll(async () => {
  stint.close();
  await service.stop();
  await database.drop();
});

/** A session that is opened; what comes of it stays with the transport, as far as the connection takes it. */
function openWork(connection: RawConnection, open: Parameters<typeof WorkOpen.fromPartial>[0]) {
  const { path, requestSerialize } = WorkerServiceService.work;
  const whole = { namespace: scene.namespace, queues: [scene.queue], credits: CREDITS, ...open };
  const stream = connection.begin(path);
  stream.write(framed(requestSerialize(WorkRequest.fromPartial({ request: { $case: 'open', open: whole } }))));
  return stream;
}

async function heldBy(): Promise<ReadonlyMap<string, number>> {
  const rows = await database.sql<{ worker: string; held: number }[]>`select worker, count(*)::int as held from stint.lease group by 1`;
  return new Map(rows.map(({ worker, held }) => [worker, held]));
}

describe(`${STOPPED} workers that stop reading their streams`, { timeout: LIMIT_MS }, () => {
  let before: Holding;
  const stopped: RawConnection[] = [];

  beforeAll(async () => {
    const { namespace, queue } = scene;
    const jobs = Array.from({ length: JOBS_AT_ONCE }, () => ({ queue, payload: Buffer.alloc(PAYLOAD_BYTES, 'x') }));
    for (let made = 0; made < JOBS; made += JOBS_AT_ONCE) await stint.enqueueBatch({ namespace, jobs });
    before = await holdingOf(service, database);
  }, LIMIT_MS);

  afterAll(async () => {
    for (const worker of stopped) await worker.hangUp();
  });

  it('hold at most their credits and a constant of memory each, and stall nobody else', async () => {
    for (let n = 0; n < STOPPED; n += 1) {
      const connection = await RawConnection.open(service.address, 'little');
      openWork(connection, { workerId: `stopped-${n}` });
      stopped.push(connection);
    }
    await vi.waitFor(async () => expect((await heldBy()).size).toBe(STOPPED), AT_LAST);
    // Whoever were given more would have it by then.
    for (let done = 0; done < JOBS_AT_ONCE; done += 1) await stint.ack({ leaseToken: (await scene.claimOne()).leaseToken });
    const { bytes } = await holdingOf(service, database);
    expect(Math.max(...(await heldBy()).values())).toBeLessThanOrEqual(CREDITS);
    expect((bytes - before.bytes) / STOPPED).toBeLessThan(BYTES_PER_STREAM);
  });

  it('leave all that they never read where it was, unspent, when they go', async () => {
    await Promise.all(stopped.splice(0).map((worker) => worker.reset()));
    await vi.waitFor(async () => expect([...(await heldBy())]).toEqual([]), AT_LAST);
    const { jobs } = await scene.claim({ maxJobs: 10 });
    expect(jobs.map(({ job }) => job?.attempt)).toEqual(Array.from({ length: 10 }, () => 1));
    await settled(service, database, before);
    await vi.waitFor(async () => {
      const { bytes } = await holdingOf(service, database);
      expect(bytes - before.bytes).toBeLessThan(LEVEL_BYTES);
    }, AT_LAST);
    await scene.isSound();
  });
});

describe(`${ROUNDS * CONNECTIONS * STREAMS} streams that are cut`, { timeout: LIMIT_MS }, () => {
  /** Half of them wait for jobs of a queue of their own, half are given some; half are cancelled, half go with their connection. */
  async function round(number: number): Promise<void> {
    const { namespace, queue } = scene;
    await stint.enqueueBatch({ namespace, jobs: Array.from({ length: STREAMS }, () => ({ queue })) });
    await Promise.all(
      Array.from({ length: CONNECTIONS }, async (_, index) => {
        const connection = await RawConnection.open(service.address);
        const streams = Array.from({ length: STREAMS }, (_stream, n) => {
          const queues = n % 2 === 0 ? [queue] : [`nothing-${number}-${index}-${n}`];
          return openWork(connection, { workerId: `cut-${number}-${index}-${n}`, queues, credits: 2, leaseDuration: { seconds: 1n } });
        });
        if (index % 3 > 0) await connection.heard();
        if (index % 2 > 0) streams.forEach(cancel);
        await connection.reset();
      }),
    );
  }

  it('leave no connection, stream, timer, listener or memory behind', async () => {
    await stint.putQueue({ namespace: scene.namespace, queue: { name: scene.queue, leaseGrace: {} }, updateMask: ['lease_grace'] });
    const idle = await holdingOf(service, database);
    await round(0);
    const before = await settled(service, database, idle);
    const objects = await service.countObjects();
    const levels = [await lowestLevel(service)];
    for (let done = 1; done <= ROUNDS; done += 1) {
      await round(done);
      await settled(service, database, before);
      levels.push(await lowestLevel(service));
    }
    await settledObjects(service, objects);
    const { slope } = trendOf(levels.map(({ heapBytes }, index) => ({ x: index * CONNECTIONS * STREAMS, y: heapBytes })));
    expect(slope, levels.map(({ heapBytes }) => heapBytes).join(', ')).toBeLessThan(BYTES_LEFT);
    await scene.isSound();
  });
});
