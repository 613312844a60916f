/** A claim whose client goes while the database is giving it jobs: they go back, and cost nothing. */
import type { ReservedSql } from 'postgres';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { JobState } from '../../gen/stint/v1/job.ts';
import { ClaimRequest, WorkerServiceService } from '../../gen/stint/v1/worker_service.ts';
import { Scene } from '../contract/scene.ts';
import { connect, type Stint } from '../contract/stint.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { type MeasuredService, startMeasuredService } from '../support/measured-service.ts';
import { framed } from './calls.ts';
import { type Holding, holdingOf } from './level.ts';
import { cancel, RawConnection } from './raw-connection.ts';

const WORKER = 'leaving';
const KEY = 4_711;
const AT_LAST = { timeout: 20_000, interval: 20 };

let database: TestDatabase;
let service: MeasuredService;
let stint: Stint;

beforeAll(async () => {
  database = await createDatabase();
  // A lease of this worker waits, in the middle of its claim, for as long as the test holds the key.
  await database.sql`create function stint.wait_for_key() returns trigger language plpgsql as $$
    begin perform set_config('lock_timeout', '0', true); perform pg_advisory_xact_lock(4711); return new; end $$`;
  await database.sql`create trigger waits before insert on stint.lease for each row when (new.worker = 'leaving')
    execute function stint.wait_for_key()`;
  service = await startMeasuredService(database.url);
  stint = connect(service.address);
});

afterAll(async () => {
  stint.close();
  await service.stop();
  await database.drop();
});

let key: ReservedSql;
beforeEach(async () => {
  key = await database.sql.reserve();
  await key`select pg_advisory_lock(${KEY})`;
});
afterEach(async () => {
  await key`select pg_advisory_unlock_all()`;
  key.release();
});

async function untilGiving(): Promise<void> {
  await vi.waitFor(async () => {
    const [row] = await database.sql`select count(*)::int as waiting from pg_stat_activity
      where application_name = 'stint hot' and wait_event = 'advisory'`;
    expect(row?.['waiting']).toBe(1);
  }, AT_LAST);
}

describe('a claim that is being given jobs', () => {
  it.each<[string, string, (connection: RawConnection, stream: ReturnType<RawConnection['send']>, before: Holding) => Promise<void>]>([
    ['cancelled', '', async (connection, stream) => (cancel(stream), await connection.heard())],
    ['cancelled, and known by a request id,', 'once', async (connection, stream) => (cancel(stream), await connection.heard())],
    ['cut off with its connection', '', async (connection, _stream, before) => (await connection.reset(), await untilCut(before))],
  ])('%s gives them back unspent', async (_name, requestId, go) => {
    const scene = new Scene(stint);
    const before = await holdingOf(service, database);
    const retry = { maxAttempts: 1 };
    const ids = [(await scene.enqueue({ retry })).jobId, (await scene.enqueue({ retry })).jobId];
    const connection = await RawConnection.open(service.address);
    const { namespace, queue } = scene;
    const request = ClaimRequest.fromPartial({ namespace, queues: [queue], workerId: WORKER, maxJobs: 2, requestId });
    const stream = connection.send(WorkerServiceService.claim.path, framed(WorkerServiceService.claim.requestSerialize(request)));
    await untilGiving();
    await go(connection, stream, before);
    await key`select pg_advisory_unlock_all()`;
    await vi.waitFor(async () => {
      const jobs = await Promise.all(ids.map(scene.job));
      expect(jobs).toMatchObject(ids.map(() => ({ state: JobState.READY, attempt: 0, lastSequence: 4n })));
    }, AT_LAST);
    for (const id of ids) expect(await scene.eventTypes(id)).toEqual(['enqueued', 'claimed', 'started', 'released']);
    // Their only attempt is still theirs, and in their turn.
    const { jobs } = await scene.claim({ maxJobs: 2 });
    expect(jobs.map(({ job }) => [job?.jobId, job?.attempt])).toEqual(ids.map((id) => [id, 1]));
    await connection.hangUp();
    await scene.isSound();
  });

  async function untilCut(before: Holding): Promise<void> {
    await vi.waitFor(async () => expect((await holdingOf(service, database)).sockets).toBeLessThanOrEqual(before.sockets), AT_LAST);
  }
});
