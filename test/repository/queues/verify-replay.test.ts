import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JobId, JobSpec } from '../../../src/domain/job.ts';
import { type ReplayDifference, replayDifferences } from '../../../src/domain/replay.ts';
import { policy, Stage, tokenOf } from '../../engine/stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
});
afterAll(() => stage.close());

const failure = { code: 'boom', message: 'why', details: Buffer.from('details'), kind: 'TERMINAL' as const };

/** What brings a job to each state. */
const ROADS = {
  ready: async () => {
    const [jobId] = await stage.enqueue(await stage.queue(), {});
    return jobId;
  },
  scheduled: async () => {
    const [jobId] = await stage.enqueue(await stage.queue(), { runAt: stage.now + 60_000_000 });
    return jobId;
  },
  running: async () => (await heldOf({})).job.jobId,
  cancelling: async () => {
    const { job } = await heldOf({});
    await stage.repository.cancelMany([{ namespace: job.namespace, jobId: job.jobId, request: null, reason: '' }]);
    return job.jobId;
  },
  retrying: async () => {
    const held = await heldOf({ retry: policy({ initialBackoffMs: 60_000, jitter: false }) });
    await fail(held, 'RETRYABLE');
    return held.job.jobId;
  },
  suspended: async () => {
    const held = await heldOf({});
    await stage.repository.suspendMany([{ token: tokenOf(held), checkpoint: null, reason: '' }]);
    return held.job.jobId;
  },
  succeeded: async () => {
    const held = await heldOf({});
    await stage.repository.ackMany([{ token: tokenOf(held), result: Buffer.from('result'), contentType: '' }]);
    return held.job.jobId;
  },
  failed: async () => {
    const held = await heldOf({});
    await fail(held, 'TERMINAL');
    return held.job.jobId;
  },
} as const satisfies Record<string, () => Promise<JobId | undefined>>;

const heldOf = async (job: Partial<JobSpec>) => stage.held(await stage.queue(), { job });

const fail = (held: Awaited<ReturnType<typeof heldOf>>, kind: 'RETRYABLE' | 'TERMINAL') =>
  stage.repository.failMany([{ token: tokenOf(held), failure: { ...failure, kind }, retryAfterMs: null, jitterFactor: 1 }]);

async function differencesOf(jobId: JobId): Promise<readonly ReplayDifference[]> {
  const [job = null] = await stage.repository.replayedJobs([jobId], 1_000);
  return job === null ? [] : replayDifferences(job);
}

async function comeTo(road: keyof typeof ROADS): Promise<JobId> {
  const jobId = await ROADS[road]();
  if (jobId === undefined) throw new Error('no job');
  return jobId;
}

/** Where the job stands, what is done to its rows, and what is told of it. */
const CORRUPTIONS: readonly (readonly [keyof typeof ROADS, string, Partial<ReplayDifference>])[] = [
  ['ready', 'delete from stint.ready where job = $1', { field: 'place', folded: 'READY', stored: '', atSequence: 1 }],
  ['ready', 'update stint.ready set rank = rank + 1 where job = $1', { field: 'place', folded: 'READY', stored: '' }],
  ['ready', 'update stint.ready set seq = 7 where job = $1', { field: 'last_sequence', folded: '1', stored: '7' }],
  ['ready', 'update stint.ready set attempt = 3 where job = $1', { field: 'attempt', folded: '0', stored: '3' }],
  ['ready', 'update stint.ready set life = 2 where job = $1', { field: 'life', folded: '1', stored: '2' }],
  ['running', 'update stint.lease set rank = -5 where job = $1', { field: 'priority', folded: '0', stored: '5', atSequence: 1 }],
  ['running', 'update stint.lease set seq = 9 where job = $1', { field: 'last_sequence', folded: '3', stored: '9' }],
  [
    'running',
    "update stint.lease set cancel_deadline = '2030-01-01T00:00:00.000001Z' where job = $1",
    {
      field: 'cancel_deadline',
      folded: '',
      stored: '2030-01-01T00:00:00.000001Z',
      atSequence: 0,
    },
  ],
  ['cancelling', 'update stint.lease set cancel_deadline = null where job = $1', { field: 'cancel_deadline', stored: '', atSequence: 4 }],
  [
    'scheduled',
    "update stint.deferred set due_at = '2030-01-01T00:00:00Z' where job = $1",
    {
      field: 'due_at',
      stored: '2030-01-01T00:00:00.000000Z',
      atSequence: 1,
    },
  ],
  ['retrying', "update stint.deferred set due_at = due_at + interval '1 microsecond' where job = $1", { field: 'due_at', atSequence: 4 }],
  ['retrying', 'update stint.deferred set kind = 1 where job = $1', { field: 'state', folded: 'RETRY_WAIT', stored: 'SCHEDULED' }],
  ['retrying', 'update stint.deferred set fence = fence + 1 where job = $1', { field: 'fence', atSequence: 4 }],
  ['suspended', 'delete from stint.parked where job = $1', { field: 'place', folded: 'SUSPENDED', stored: '' }],
  ['suspended', 'update stint.parked set fence = fence - 1 where job = $1', { field: 'fence' }],
  [
    'succeeded',
    "update stint.terminal set finished_at = finished_at + interval '1 second' where job = $1",
    { field: 'finished_at', atSequence: 4 },
  ],
  [
    'failed',
    `update stint.terminal set failure = jsonb_set(failure, '{code}', '"other"') where job = $1`,
    {
      field: 'failure',
      folded: 'boom',
      stored: 'other',
      atSequence: 4,
    },
  ],
  ['failed', "update stint.terminal set result = 'x' where job = $1", { field: 'result', folded: '', stored: 'a result' }],
  ['failed', 'update stint.terminal set attempt = 2 where job = $1', { field: 'attempt', folded: '1', stored: '2' }],
];

describe('the fold of a job', () => {
  it.each(Object.keys(ROADS).map((road) => [road]))('agrees with its rows: %s', async (road) => {
    const known = Object.keys(ROADS).find((one): one is keyof typeof ROADS => one === road);
    expect(await differencesOf(await comeTo(known ?? 'ready'))).toEqual([]);
  });

  it.each(CORRUPTIONS)('of a %s job tells what differs after: %s', async (road, corruption, told) => {
    const jobId = await comeTo(road);
    await stage.sql.unsafe(corruption, [jobId]);
    expect(await differencesOf(jobId)).toEqual([expect.objectContaining({ jobId, ...told })]);
  });

  it('tells of a job in two places', async () => {
    const jobId = await comeTo('running');
    await stage.sql`
      insert into stint.terminal (shard, job, life, seq, type, attempt, fence, finished_at)
      select shard, job, life, seq, 11, attempt, fence, now() from stint.lease where job = ${jobId}`;
    expect(await differencesOf(jobId)).toMatchObject([{ field: 'place', folded: 'RUNNING', stored: 'RUNNING, SUCCEEDED' }]);
  });

  it('tells of events that do not follow from each other, and where', async () => {
    const jobId = await comeTo('retrying');
    await stage.sql`delete from stint.attempt where job = ${jobId}`;
    const differences = await differencesOf(jobId);
    expect(differences.map(({ field }) => field)).toEqual(['state', 'attempt', 'fence', 'last_sequence']);
    const other = await comeTo('suspended');
    await stage.sql`update stint.attempt set started_seq = started_seq + 5, ended_seq = ended_seq + 5 where job = ${other}`;
    expect(await differencesOf(other)).toMatchObject([
      { field: 'event', folded: '', stored: 'event 8 (started) follows sequence 2', atSequence: 8 },
      { field: 'last_sequence', folded: '9', stored: '4' },
    ]);
  });
});
