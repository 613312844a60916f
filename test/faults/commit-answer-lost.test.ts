/**
 * A commit takes effect and its answer is lost: the proxy drops it and cuts the connection. Whoever called is answered
 * rightly or UNAVAILABLE, never wrongly; asking again gives the answer that was lost; there is one effect.
 */
import { status } from '@grpc/grpc-js';
import { beforeAll, describe, expect, it } from 'vitest';
import { statusOf } from '../../examples/call.ts';
import type { EnqueueBatchResponse } from '../../gen/stint/v1/job_service.ts';
import { SettlementOutcome, StartMode } from '../../gen/stint/v1/worker_service.ts';
import { Scene } from '../contract/scene.ts';
import { connect, held, seconds, type Stint, uuidV7 } from '../contract/stint.ts';
import { DatabaseScene, LIMIT_MS } from './database-scene.ts';

let faults: DatabaseScene;
let here: Stint;
let there: Stint;
beforeAll(async () => {
  faults = await DatabaseScene.open();
  const [first = '', second = ''] = faults.addresses;
  [here, there] = [connect(first), connect(second)];
  return async () => {
    [here, there].forEach((stint) => stint.close());
    await faults.close();
  };
}, LIMIT_MS);

const { APPLIED, ALREADY_APPLIED } = SettlementOutcome;

/**
 * Has the answer to one statement lost on the way to the replica `here`: the next of that name, or the lesser one beside it, with these
 * words among its parameters. The answer that the service has all the same, or null.
 */
async function losing<Answer>(statement: string, words: string, call: () => Promise<Answer>): Promise<Answer | null> {
  const lost = faults.proxies[0]?.loseAnswer({ to: new RegExp(`^/\\* ${statement}(-plain)? \\*/[^]*${words}`), instead: 'cut' });
  const answer = await call().catch((error: unknown) => {
    expect(status[statusOf(error) ?? status.OK]).toMatch(/^(UNAVAILABLE|DEADLINE_EXCEEDED)$/);
    return null;
  });
  await lost;
  return answer;
}

/** Sends it once with the answer lost, and then twice more, first to the other replica. */
async function thrice<Answer>(statement: string, words: string, send: (stint: Stint) => Promise<Answer>) {
  const first = await losing(statement, words, () => send(here));
  return { first, again: await send(there), onceMore: await send(here) };
}

describe('the answer to a commit is lost:', { timeout: LIMIT_MS }, () => {
  it.each([
    ['an enqueue with a job id', () => ({ jobId: uuidV7() })],
    ['an enqueue with a key', () => ({ idempotencyKey: uuidV7() })],
  ])('%s makes one job', async (_name, identity) => {
    const { namespace, queue, eventTypes } = new Scene(here);
    const spec = { queue, type: uuidV7(), ...identity() };
    const { first, again, onceMore } = await thrice('enqueue', spec.type, (stint) => stint.enqueue({ namespace, job: spec }));
    expect(again).toMatchObject({ deduplicated: true });
    expect(onceMore).toEqual(again);
    if (first !== null) expect(first.job).toEqual(again.job);
    expect(await eventTypes(again.job?.jobId ?? '')).toEqual(['enqueued']);
    expect((await here.listJobs({ namespace })).jobs).toHaveLength(1);
  });

  it('an enqueue with neither makes one job, if nobody asks again', async () => {
    const { namespace, queue } = new Scene(here);
    const type = uuidV7();
    const first = await losing('enqueue', type, () => here.enqueue({ namespace, job: { queue, type } }));
    const { jobs } = await there.listJobs({ namespace });
    expect(jobs).toHaveLength(1);
    if (first !== null) expect(first.job).toEqual(jobs[0]);
  });

  it.each([
    ['an atomic batch', true],
    ['a batch', false],
  ])('%s makes each job once', async (_name, atomic) => {
    const { namespace, queue } = new Scene(here);
    const type = uuidV7();
    const jobs = [
      { queue, type, jobId: uuidV7() },
      { queue, type, idempotencyKey: 'k' },
    ];
    const { first, again, onceMore } = await thrice('enqueue', type, (stint) => stint.enqueueBatch({ namespace, jobs, atomic }));
    expect(again.results.map(({ deduplicated }) => deduplicated)).toEqual([true, true]);
    expect(onceMore).toEqual(again);
    if (first !== null) expect(jobIdsOf(first)).toEqual(jobIdsOf(again));
    expect((await there.listJobs({ namespace })).jobs.map(({ jobId }) => jobId).sort()).toEqual(jobIdsOf(again).sort());
  });

  it('a claim with a request id is given the same leases again', async () => {
    const { namespace, queue, enqueue, eventTypes } = new Scene(here);
    const jobIds = [(await enqueue()).jobId, (await enqueue()).jobId];
    const request = { namespace, queues: [queue], workerId: uuidV7(), requestId: 'r', maxJobs: 2 };
    const { first, again, onceMore } = await thrice('claim', request.workerId, (stint) => stint.claim(request));
    expect(again.jobs.map(({ job }) => job?.jobId)).toEqual(jobIds);
    expect(onceMore).toEqual(again);
    if (first !== null) expect(first.jobs.map(held)).toEqual(again.jobs.map(held));
    for (const jobId of jobIds) expect(await eventTypes(jobId)).toEqual(['enqueued', 'claimed', 'started']);
    for (const claimed of again.jobs) expect(await there.ack({ leaseToken: held(claimed).leaseToken })).toMatchObject({ outcome: APPLIED });
  });

  it('a claim without one loses no job: the lease lapses, and the next worker gets it', async () => {
    const { namespace, queue, enqueue, events } = new Scene(here);
    const { jobId } = await enqueue({ retry: { initialBackoff: seconds(0.1), maxBackoff: seconds(0.1) } });
    const request = { namespace, queues: [queue], workerId: uuidV7(), leaseDuration: seconds(1) };
    const first = await losing('claim', request.workerId, () => here.claim(request));
    const { jobs } = first ?? (await there.claim({ ...request, workerId: 'another', wait: seconds(60) }, LIMIT_MS));
    const { job, leaseToken } = held(jobs[0]);
    expect(job).toMatchObject({ jobId, attempt: first === null ? 2 : 1 });
    expect(await there.ack({ leaseToken })).toMatchObject({ outcome: APPLIED });
    const told = await events(jobId);
    expect(told.filter(({ type }) => type === 'claimed').map(({ attempt }) => attempt)).toEqual(first === null ? [1, 2] : [1]);
  });

  it('a start starts once', async () => {
    const { enqueueAndClaim, eventTypes } = new Scene(here);
    const { jobId, leaseToken } = await enqueueAndClaim({}, { start: StartMode.EXPLICIT });
    const { first, again, onceMore } = await thrice('start', jobId, (stint) => stint.start({ leaseToken }));
    expect(onceMore).toEqual(again);
    if (first !== null) expect(first).toEqual(again);
    expect(await eventTypes(jobId)).toEqual(['enqueued', 'claimed', 'started']);
  });

  it('a heartbeat keeps the lease and the checkpoint', async () => {
    const { enqueueAndClaim, claimOne } = new Scene(here);
    const { jobId, leaseToken } = await enqueueAndClaim();
    const checkpoint = Buffer.from('half way');
    const beat = (stint: Stint) => stint.heartbeat({ leases: [{ leaseToken, checkpoint }] });
    const answers = Object.values(await thrice('heartbeat', jobId, beat)).filter((answer) => answer !== null);
    expect(answers.map(({ results }) => results[0]?.result?.$case)).toEqual(answers.map(() => 'renewed'));
    await there.release({ leaseToken });
    expect((await claimOne()).claimed.checkpoint).toEqual(checkpoint);
  });

  it('an ack ends the job once', async () => {
    const { enqueueAndClaim, eventTypes } = new Scene(here);
    const { jobId, leaseToken } = await enqueueAndClaim();
    const ack = (stint: Stint) => stint.ack({ leaseToken, result: Buffer.from('done'), contentType: 'text/plain' });
    const { first, again, onceMore } = await thrice('ack', jobId, ack);
    expect(again).toMatchObject({ outcome: ALREADY_APPLIED, job: { result: Buffer.from('done') } });
    expect(onceMore).toEqual(again);
    if (first !== null) expect(first.job).toEqual(again.job);
    expect(await eventTypes(jobId)).toEqual(['enqueued', 'claimed', 'started', 'succeeded']);
  });

  it('a failure schedules one retry', async () => {
    const { enqueueAndClaim, eventTypes } = new Scene(here);
    const { jobId, leaseToken } = await enqueueAndClaim({ retry: { initialBackoff: seconds(600), maxBackoff: seconds(600) } });
    const fail = (stint: Stint) => stint.fail({ leaseToken, failure: { code: 'no.luck' } });
    const { first, again, onceMore } = await thrice('fail', jobId, fail);
    expect(again).toMatchObject({ outcome: ALREADY_APPLIED, consequence: { $case: 'retryScheduled' } });
    expect(onceMore).toEqual(again);
    if (first !== null) expect(first.consequence).toEqual(again.consequence);
    expect(await eventTypes(jobId)).toEqual(['enqueued', 'claimed', 'started', 'retry_scheduled']);
  });

  it('a release gives back once', async () => {
    const { enqueueAndClaim, eventTypes } = new Scene(here);
    const { jobId, leaseToken } = await enqueueAndClaim();
    const { first, again, onceMore } = await thrice('release', jobId, (stint) => stint.release({ leaseToken }));
    expect(again).toMatchObject({ outcome: ALREADY_APPLIED });
    expect(onceMore).toEqual(again);
    if (first !== null) expect(first.job).toEqual(again.job);
    expect(await eventTypes(jobId)).toEqual(['enqueued', 'claimed', 'started', 'released']);
  });

  it('settlements of each kind in one call apply once each', async () => {
    const { enqueueAndClaim, eventTypes } = new Scene(here);
    const [acked, failed, released] = [await enqueueAndClaim(), await enqueueAndClaim(), await enqueueAndClaim()];
    const settlements = [
      { leaseToken: acked.leaseToken, action: { $case: 'ack' as const, ack: {} } },
      { leaseToken: failed.leaseToken, action: { $case: 'fail' as const, fail: {} } },
      { leaseToken: released.leaseToken, action: { $case: 'release' as const, release: { delay: seconds(600) } } },
    ];
    const settle = (stint: Stint) => stint.settle({ settlements });
    await losing('ack', acked.jobId, () => losing('fail', failed.jobId, () => losing('release', released.jobId, () => settle(here))));
    const again = await settle(there);
    const once = { outcome: ALREADY_APPLIED };
    expect(again.results.map(({ result }) => result)).toMatchObject([{ ack: once }, { fail: once }, { release: once }]);
    expect((await eventTypes(acked.jobId)).at(-1)).toBe('succeeded');
    expect((await eventTypes(failed.jobId)).filter((type) => type === 'retry_scheduled')).toHaveLength(1);
    expect(await eventTypes(released.jobId)).toEqual(['enqueued', 'claimed', 'started', 'released']);
  });

  it('again and again under load: nothing that was told, or is stored, is wrong', async () => {
    for (const statement of ['enqueue', 'claim-many-queues', 'heartbeat', 'ack', 'fail', 'release']) {
      const lost = faults.proxies.map((proxy) => proxy.loseAnswer({ to: new RegExp(`^/\\* ${statement}(-plain)? \\*/`), instead: 'cut' }));
      await Promise.all(lost);
    }
    await faults.expectSound();
  });
});

function jobIdsOf({ results }: EnqueueBatchResponse): string[] {
  return results.map(({ result }) => (result?.$case === 'job' ? result.job.jobId : expect.unreachable()));
}
