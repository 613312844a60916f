/** The lesser statements of the hot path do what the whole ones do, for jobs and queues that nothing bounds. */
import { describe, expect, it } from 'vitest';
import type { JobSpec } from '../../../src/domain/job.ts';
import { DEFAULT_RETRY_POLICY } from '../../../src/domain/retry.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { Run } from '../../../src/repository/database.ts';
import { ackPlain } from '../../../src/repository/workers/ack-plain.ts';
import { slot, tokenOf } from '../../engine/stage.ts';
import { put } from '../../support/bounds.ts';
import { KnownRecords } from '../../../src/repository/known-records.ts';
import { factsOf, FIRST, SPECS } from './facts.ts';
import { ackOf, now, openRoutes, ran, route, type Route, run, stage } from './route.ts';

openRoutes();

/** The life of two jobs of a kind, with what is answered. */
async function live({ enqueue, claim: take, ack }: Route, queue: Queue, spec: Partial<JobSpec>, startOnClaim: boolean): Promise<string> {
  const answers: unknown[] = [await enqueue([stage.item(queue, spec), stage.item(queue, { payload: Buffer.alloc(0) })])];
  const told = { secret: FIRST, startOnClaim, leaseDurationMs: 9_000 };
  const claimed = await take(
    queue,
    slot({ ...told, maxJobs: 1, workerId: 'a' }),
    slot({ ...told, workerId: 'b', leaseDurationMs: null, maxJobs: 3 }),
  );
  answers.push(claimed, await factsOf(queue, []));
  if (startOnClaim) answers.push(await ack(...claimed.map(ackOf)));
  return factsOf(queue, answers);
}

describe.each([
  ['started as it is claimed', true],
  ['claimed alone', false],
])('a job that is %s', (_, startOnClaim) => {
  it.each(SPECS)('and has $what comes to the same by the lesser statements as by the whole ones', async ({ spec }) => {
    const [one, other] = [
      await stage.queue({ namespace: `one-${Math.random()}` }),
      await stage.queue({ namespace: `two-${Math.random()}` }),
    ];
    const whole = await live(route(false), one, spec, startOnClaim);
    expect(ran).toEqual(startOnClaim ? ['enqueue', 'claim', 'ack'] : ['enqueue', 'claim']);
    ran.splice(0);
    const lesser = await live(route(true), other, spec, startOnClaim);
    expect(ran).toEqual(startOnClaim ? ['enqueue-plain', 'claim-plain', 'ack-plain'] : ['enqueue-plain', 'claim-plain']);
    expect(lesser.replaceAll(other.namespace, one.namespace)).toEqual(whole);
  });
});

it('a job of a queue that is claimed by type is found by its type', async () => {
  const queue = await stage.queue();
  await stage.repository.sortByType([queue]);
  await route(true).enqueue([stage.item(queue, { type: 'a' }), stage.item(queue, { type: 'b' })]);
  expect(ran).toEqual(['enqueue-plain']);
  const { jobs } = await stage.repository.claim([queue], [slot({ maxJobs: 5 })], ['b']);
  expect(jobs.flat().map(({ job }) => job.type)).toEqual(['b']);
  expect(await stage.violations(queue.namespace)).toEqual([]);
});

describe('a record', () => {
  it('that was not given here is read, beside one that was', async () => {
    const queue = await stage.queue();
    await stage.enqueue(queue, { labels: { a: '1' } }, { labels: { a: '2' } }, { labels: { a: '3' } });
    const [here, elsewhere] = [route(true), route(true)];
    const first = await here.claim(queue, slot());
    const second = await elsewhere.claim(queue, slot());
    const third = await here.claim(queue, slot());
    const outcomes = await here.ack(...[...first, ...second, ...third].map(ackOf));
    expect(outcomes.map((outcome) => (outcome.kind === 'applied' ? outcome.job.labels['a'] : outcome.kind))).toEqual(['1', '2', '3']);
    expect(ran.at(-1)).toBe('ack-plain');
  });

  it('is forgotten where too many are known, the oldest first, and not remembered where it is large', async () => {
    const records = new KnownRecords();
    const { claim: take } = route(true);
    const queue = await stage.queue();
    await stage.enqueue(queue, {});
    const [{ job } = expect.unreachable()] = await take(queue, slot());
    const tokens = Array.from({ length: 20_001 }, () => ({ secret: FIRST, jobId: stage.mint.mint() }));
    for (const { jobId } of tokens) records.add({ secret: FIRST }, { record: { ...job, jobId }, maxAttempts: null });
    expect(tokens.filter((token) => records.get(token) === null)).toEqual(tokens.slice(0, 1));
    const large = { secret: FIRST, jobId: stage.mint.mint() };
    records.add(large, { record: { ...job, jobId: large.jobId, labels: { a: 'x'.repeat(1_024) } }, maxAttempts: null });
    expect(records.get(large)).toBeNull();
  });

  it('is known as long as the job is held here, and tells how many tries the queue grants by then', async () => {
    const queue = await stage.queue();
    const { claim: take, ack, records } = route(true);
    await stage.enqueue(queue, {});
    const [claimed = expect.unreachable()] = await take(queue, slot());
    expect(records.get(tokenOf(claimed))).toMatchObject({ record: { jobId: claimed.job.jobId }, maxAttempts: null });
    await put(stage.repository, queue, { retry: { ...DEFAULT_RETRY_POLICY, maxAttempts: 77 } });
    expect(await ack(ackOf(claimed))).toMatchObject([{ kind: 'applied', job: { maxAttempts: 77 } }]);
    expect(records.get(tokenOf(claimed))).toBeNull();
  });

  it('is that which was known when the ack was sent, whatever is forgotten before it is answered', async () => {
    const queue = await stage.queue();
    const { claim: take, records } = route(true);
    await stage.enqueue(queue, { labels: { a: '1' } });
    const [claimed = expect.unreachable()] = await take(queue, slot());
    const forgetting: Run = async (statement, values) => {
      records.forget(tokenOf(claimed));
      return run(statement, values);
    };
    const outcomes = await ackPlain(forgetting, now(), [{ position: 0, item: ackOf(claimed) }], records);
    expect(outcomes?.get(0)).toMatchObject({ kind: 'applied', job: { labels: { a: '1' } } });
  });

  it('is not that of a job which had the same id before', async () => {
    const queue = await stage.queue();
    const jobId = stage.mint.mint();
    const { enqueue, claim: take, ack } = route(true);
    await enqueue([stage.item(queue, { jobId, type: 'former' })]);
    const [former = expect.unreachable()] = await take(queue, slot());
    await stage.repository.ackMany([ackOf(former)]);
    for (const table of ['job', 'attempt', 'terminal']) {
      await stage.sql`delete from stint.${stage.sql(table)} where ${stage.sql(table === 'job' ? 'id' : 'job')} = ${jobId}`;
    }
    await enqueue([stage.item(queue, { jobId, type: 'present' })]);
    const elsewhere = await route(true).claim(queue, slot());
    expect(await ack(...elsewhere.map(ackOf))).toMatchObject([{ kind: 'applied', job: { type: 'present' } }]);
  });
});
