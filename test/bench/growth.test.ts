import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NO_KEYS } from '../../bench/cells.ts';
import { measureBacklog } from '../../bench/growth/backlog.ts';
import { explainClaim } from '../../bench/growth/explain-claim.ts';
import { layIn } from '../../bench/growth/lay-in.ts';
import { grpcRoute } from '../../bench/grpc-route.ts';
import { connect, type Stint } from '../contract/stint.ts';
import { startService, type TestService } from '../support/service.ts';
import { violationsIn } from '../../bench/soak/soundness.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';

const QUEUE = 'deep';
/** More than one row of the journal tells of, and no multiple of it. */
const JOBS = 2_500;

describe('a backlog that was laid in by the database', () => {
  let database: TestDatabase;
  let service: TestService;
  let stint: Stint;

  const ready = async () => Number((await database.sql`select count(*) as n from stint.ready`)[0]?.['n']);

  beforeAll(async () => {
    database = await createDatabase();
    // The first is counted, the second is folded from the journal.
    for (const jobs of [1_000, JOBS - 1_000]) await layIn({ url: database.url, queue: QUEUE, jobs });
    service = await startService({ database });
    stint = connect(service.address);
  });
  afterAll(async () => {
    stint.close();
    await service.stop();
    await database.drop();
  });

  it('is sound, as if each job of it had been enqueued by a call', async () => {
    expect(await violationsIn(service.address, ['default'])).toEqual([]);
    const { stats } = await stint.getQueueStats({ queue: QUEUE });
    expect(stats?.jobs?.ready).toBe(BigInt(JOBS));
  });

  it('has the rows that an enqueue writes', async () => {
    const route = await grpcRoute({ target: service.address, queue: QUEUE, batch: 1, keys: NO_KEYS });
    await route.enqueue();
    await route.close();
    const kinds = await database.sql`
      select distinct to_jsonb(r) - '{ord,job}'::text[] as token, to_jsonb(j) - '{ord,id,created_at}'::text[] as record
        from stint.ready r join stint.job j on j.id = r.job`;
    expect(kinds).toHaveLength(1);
    expect((await stint.claim({ workerId: 'w', queues: [QUEUE], maxJobs: 1 })).jobs).toHaveLength(1);
  });

  it('tells of each job that it was enqueued', async () => {
    const { jobs } = await stint.peekQueue({ queue: QUEUE, maxJobs: 1 });
    const { events } = await stint.listEvents({ jobId: jobs[0]?.jobId ?? '' });
    expect(events.map(({ type }) => type)).toEqual(['enqueued']);
  });

  it('is explained without a job being taken: a claim of a hundred reads more than one of one', async () => {
    const one = await explainClaim(database.url, QUEUE, 1);
    const hundred = await explainClaim(database.url, QUEUE, 100);
    expect(one.buffers).toBeGreaterThan(10);
    expect(hundred.buffers).toBeGreaterThan(one.buffers + 100);
    expect(await ready()).toBe(JOBS);
  });

  it('is claimed in the order of its positions, stays as deep as it was, and is sound behind it', async () => {
    const signal = AbortSignal.timeout(20_000);
    const measured = await measureBacklog({ target: service.address, url: database.url, queue: QUEUE, jobs: 10, seconds: 0.05, signal });
    expect(measured.p50Ms).toBeGreaterThan(0);
    expect(measured.p99Ms).toBeGreaterThanOrEqual(measured.p50Ms);
    expect(await ready()).toBe(JOBS);
    const [row] = await database.sql`
      select (select min(ord) from stint.ready) > (select max(j.ord) from stint.terminal t join stint.job j on j.id = t.job) as in_order`;
    expect(row?.['in_order']).toBe(true);
    expect(await violationsIn(service.address, ['default'])).toEqual([]);
  });
});
