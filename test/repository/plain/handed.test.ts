/** An enqueue that gives to who waits does what an enqueue and the claim behind it do, in one commit. */
import { describe, expect, it } from 'vitest';
import type { JobSpec } from '../../../src/domain/job.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { ClaimSlot } from '../../../src/engine/ports/repository.ts';
import { enqueueHanded } from '../../../src/repository/jobs/enqueue-handed.ts';
import { KnownRecords } from '../../../src/repository/known-records.ts';
import { slot, tokenOf } from '../../engine/stage.ts';
import { put } from '../../support/bounds.ts';
import { factsOf, FIRST, SPECS } from './facts.ts';
import { now, openRoutes, ran, route, run, stage } from './route.ts';

openRoutes();

const A_SECOND = '00000000-0000-4000-8000-000000000002';

/** One for a worker that says how long its leases last, and one for a worker that does not. */
const slotsOf = (startOnClaim: boolean): readonly ClaimSlot[] => [
  slot({ secret: FIRST, startOnClaim, leaseDurationMs: 9_000, maxJobs: 1, workerId: 'a' }),
  slot({ secret: A_SECOND, startOnClaim, workerId: 'b', leaseDurationMs: null, maxJobs: 1, requestId: 'r' }),
];

function handOver(queue: Queue, specs: readonly Partial<JobSpec>[], slots: readonly ClaimSlot[], records = new KnownRecords()) {
  const items = specs.map((spec) => stage.item(queue, spec));
  return enqueueHanded({ run, now: now(), records }, items, { slots, channel: 'pull' });
}

const typesOf = (jobs: readonly { readonly job: { readonly type: string } }[] = []) => jobs.map(({ job }) => job.type);

describe.each([
  ['started as it is claimed', true],
  ['claimed alone', false],
])('a job that is %s', (_, startOnClaim) => {
  it.each(SPECS)('and has $what comes to the same as by an enqueue and a claim', async ({ spec }) => {
    const [one, other] = [
      await stage.queue({ namespace: `one-${Math.random()}` }),
      await stage.queue({ namespace: `two-${Math.random()}` }),
    ];
    const specs = [spec, { payload: Buffer.alloc(0) }];
    const apart = route(true);
    const enqueued = await apart.enqueue(specs.map((told) => stage.item(one, told)));
    const claimed = await apart.claim(one, ...slotsOf(startOnClaim));
    ran.splice(0);
    const handed = await handOver(other, specs, slotsOf(startOnClaim));
    expect(ran).toEqual(['enqueue-handed']);
    const together = await factsOf(other, [handed?.outcomes, handed?.given.jobs.flat()]);
    expect(together.replaceAll(other.namespace, one.namespace)).toEqual(await factsOf(one, [enqueued, claimed]));
    expect(await stage.violations(other.namespace)).toEqual([]);
  });
});

describe('what is given', () => {
  it('is what is first in the order of dispatch, and the rest waits for others', async () => {
    const queue = await stage.queue();
    const specs = [{ type: 'low', priority: -1 }, { type: 'middle' }, { type: 'high', priority: 5 }, { type: 'later' }];
    const handed = await handOver(queue, specs, [slot({ workerId: 'a' }), slot({ workerId: 'b' })]);
    expect(handed?.given.jobs.map(typesOf)).toEqual([['high'], ['middle']]);
    expect(handed?.outcomes.map((outcome) => outcome.kind === 'enqueued' && outcome.job.state)).toEqual(specs.map(() => 'READY'));
    expect(typesOf(await stage.claim(queue, { maxJobs: 9 }))).toEqual(['later', 'low']);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('is told by its events in their order, and its record is known to who ends it', async () => {
    const queue = await stage.queue();
    const records = new KnownRecords();
    const handed = await handOver(queue, [{ labels: { a: '1' } }], [slot()], records);
    const [claimed = expect.unreachable()] = handed?.given.jobs.flat() ?? [];
    const page = await stage.repository.history(claimed.job.jobId, 0, 9);
    expect(page?.events.map(({ state }) => state)).toEqual(['READY', 'LEASED', 'RUNNING']);
    const rows = await stage.sql`select seqs from stint.journal where jobs @> array[${claimed.job.jobId}::uuid] order by n`;
    expect(rows).toMatchObject([{ seqs: null }, { seqs: expect.anything() }]);
    expect(records.get(tokenOf(claimed))).toMatchObject({ record: { labels: { a: '1' } } });
  });

  it('is nothing where nobody is there any more', async () => {
    const queue = await stage.queue();
    expect(await handOver(queue, [{ type: 'a' }], [])).toMatchObject({ outcomes: [{ kind: 'enqueued' }], given: { jobs: [] } });
    expect(typesOf(await stage.claim(queue))).toEqual(['a']);
  });

  it.each([
    ['an older job waits', async (queue: Queue) => void (await stage.enqueue(queue, { type: 'older' })), ['older', 'new']],
    [
      'a job of less priority waits',
      async (queue: Queue) => void (await stage.enqueue(queue, { type: 'less', priority: -1 })),
      ['new', 'less'],
    ],
    ['the queue is paused', ({ namespace, name }: Queue) => pause(namespace, name), ['new']],
    ['it is for those who are pushed to', (queue: Queue) => put(stage.repository, queue, { mode: 'PUSH_ONLY' }), ['new']],
  ])('is nothing where %s: every job waits', async (_, prepare, waiting) => {
    const queue = await stage.queue();
    await prepare(queue);
    const handed = await handOver(queue, [{ type: 'new' }], [slot()]);
    expect(handed).toMatchObject({ outcomes: [{ kind: 'enqueued', job: { state: 'READY' } }], given: { jobs: [[]] } });
    const peeked = await stage.repository.peekQueue(queue, 9);
    expect(peeked.map(({ type }) => type)).toEqual(waiting);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('is nothing where the namespace is paused, or a floor tells of tokens to be read around', async () => {
    const [paused, floored] = [await stage.queue({ namespace: `n-${Math.random()}` }), await stage.queue()];
    await pause(paused.namespace, null);
    await stage.sql`insert into stint.floor (shard, queue_id, rank, ord, mark, mark_xid) values (0, ${floored.id}, 0, 1, 1, '1')`;
    for (const queue of [paused, floored]) expect((await handOver(queue, [{}], [slot()]))?.given.jobs.flat()).toEqual([]);
  });

  it('is null, and nothing is done, where the queue is bounded, has fairness keys or knows the job', async () => {
    const [bounded, fair, known] = [await stage.queue(), await stage.queue(), await stage.queue()];
    await put(stage.repository, bounded, { maxQueued: 9 });
    await stage.enqueue(fair, { fairnessKey: 'a' });
    for (const queue of [bounded, fair]) expect(await handOver(queue, [{ type: 'new' }], [slot()])).toBeNull();
    const item = stage.item(known);
    await route(true).enqueue([item]);
    expect(await enqueueHanded({ run, now: now(), records: new KnownRecords() }, [item], { slots: [slot()], channel: 'pull' })).toBeNull();
    for (const queue of [bounded, fair, known])
      expect(await stage.repository.peekQueue(queue, 9)).not.toContainEqual(expect.objectContaining({ type: 'new' }));
  });
});

/** A queue, or with none the namespace. */
async function pause(namespace: string, queue: string | null): Promise<void> {
  await stage.repository.applyAction({ namespace, queue, action: 'PAUSE', reason: '', actor: '', request: null });
}
