/** What ack, fail and release have in common: applied once, repeated as often as one likes, lost with any other token. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Failure } from '../../../src/domain/job.ts';
import type { LeaseToken } from '../../../src/domain/lease.ts';
import type { Queue } from '../../../src/domain/queue.ts';
import type { FailItem } from '../../../src/engine/ports/repository.ts';
import { Stage, tokenOf } from '../../engine/stage.ts';

let stage: Stage;
let queue: Queue;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

const failure: Failure = { code: 'boom', message: 'no', details: Buffer.alloc(0), kind: 'RETRYABLE' };
const failItem = (token: LeaseToken, told: Partial<FailItem> = {}): FailItem => ({
  token,
  failure,
  retryAfterMs: 1_000,
  jitterFactor: 1,
  ...told,
});

const kinds = ['ack', 'fail', 'release'] as const;
type Kind = (typeof kinds)[number];

/** The same settlement for every token, in one batch. */
function settle(kind: Kind, tokens: readonly LeaseToken[]) {
  switch (kind) {
    case 'ack':
      return stage.repository.ackMany(tokens.map((token) => ({ token, result: Buffer.from('r'), contentType: 't' })));
    case 'fail':
      return stage.repository.failMany(tokens.map((token) => failItem(token)));
    case 'release':
      return stage.repository.releaseMany(tokens.map((token) => ({ token, delayMs: 0 })));
  }
}

const ended: Record<Kind, { readonly state: string; readonly event: string }> = {
  ack: { state: 'SUCCEEDED', event: 'succeeded' },
  fail: { state: 'RETRY_WAIT', event: 'retry_scheduled' },
  release: { state: 'READY', event: 'released' },
};

async function heldMany(count: number) {
  await stage.enqueue(queue, ...Array.from({ length: count }, () => ({})));
  return stage.claim(queue, { maxJobs: count });
}

describe.each(kinds)('%s', (kind) => {
  it('is applied once, answers with the job as a read gives it, and tells one event', async () => {
    const held = await stage.held(queue);
    const [outcome] = await settle(kind, [tokenOf(held)]);
    expect(outcome).toMatchObject({ kind: 'applied', job: { state: ended[kind].state, lastSequence: 4 } });
    expect(outcome).toHaveProperty('job', await stage.job(held.job.jobId));
    expect(await stage.eventTypes(held.job.jobId)).toEqual(['enqueued', 'claimed', 'started', ended[kind].event]);
    expect(await stage.violations(queue.namespace)).toEqual([]);
  });

  it('repeated changes nothing and is told so, also after the job has moved on', async () => {
    const held = await stage.held(queue);
    await settle(kind, [tokenOf(held)]);
    expect(await settle(kind, [tokenOf(held)])).toMatchObject([{ kind: 'already_applied', job: { state: ended[kind].state } }]);
    stage.clock.advance(1_000);
    await stage.repository.promoteDue();
    await stage.claim(queue);
    expect(await settle(kind, [tokenOf(held)])).toMatchObject([{ kind: 'already_applied' }]);
    expect((await stage.eventTypes(held.job.jobId)).filter((type) => type === ended[kind].event)).toHaveLength(1);
  });

  it('named twice in one batch is applied once', async () => {
    const held = await stage.held(queue);
    const outcomes = await settle(kind, [tokenOf(held), tokenOf(held), tokenOf(held)]);
    expect(outcomes.map((outcome) => outcome.kind)).toEqual(['applied', 'already_applied', 'already_applied']);
    expect((await stage.job(held.job.jobId)).lastSequence).toBe(4);
  });

  it.each(kinds.filter((other) => other !== kind))('after %s of the same token is a lost lease', async (other) => {
    const held = await stage.held(queue);
    await settle(other, [tokenOf(held)]);
    const before = await stage.job(held.job.jobId);
    expect(await settle(kind, [tokenOf(held)])).toEqual([{ kind: 'lease_lost' }]);
    expect(await stage.job(held.job.jobId)).toEqual(before);
  });

  it('with another fence, another secret or another job is a lost lease', async () => {
    const held = await stage.held(queue);
    const token = tokenOf(held);
    const strangers = [
      { ...token, fence: token.fence + 1n },
      { ...token, fence: token.fence - 1n },
      { ...token, secret: randomUUID() },
      { ...token, jobId: stage.mint.mint() },
    ];
    const lost = strangers.map(() => ({ kind: 'lease_lost' }));
    expect(await settle(kind, strangers)).toEqual(lost);
    expect(await stage.job(held.job.jobId)).toEqual(held.job);
    await settle(kind, [token]);
    expect(await settle(kind, strangers)).toEqual(lost);
  });

  it('of the token before is a lost lease: the next holder is not touched', async () => {
    const former = await stage.held(queue, { claim: { leaseDurationMs: 1_000 } });
    stage.clock.advance(6_000);
    await stage.repository.expireLeases();
    stage.clock.advance(60_000);
    await stage.repository.promoteDue();
    const [holder] = await stage.claim(queue);
    expect(holder?.job.jobId).toBe(former.job.jobId);
    expect(await settle(kind, [tokenOf(former)])).toEqual([{ kind: 'lease_lost' }]);
    expect(await stage.job(former.job.jobId)).toMatchObject({
      state: 'RUNNING',
      fence: holder?.job.fence,
      lastSequence: holder?.job.lastSequence,
    });
  });

  it('counts until the grace is over, and not from that instant on, though no sweep came by', async () => {
    const [first, second] = await heldMany(2);
    if (first === undefined || second === undefined) throw new Error('nothing was claimed');
    stage.clock.advance(34_999);
    expect(await settle(kind, [tokenOf(first)])).toMatchObject([{ kind: 'applied' }]);
    stage.clock.advance(1);
    expect(await settle(kind, [tokenOf(second)])).toEqual([{ kind: 'lease_lost' }]);
    expect((await stage.job(second.job.jobId)).state).toBe('RUNNING');
  });

  it('answers a mixed batch in its own order', async () => {
    const held = await heldMany(4);
    const tokens = held.map(tokenOf);
    const [a, b, c, d] = tokens;
    if (a === undefined || b === undefined || c === undefined || d === undefined) throw new Error('nothing was claimed');
    await settle(kind, [c]);
    const outcomes = await settle(kind, [d, { ...a, secret: randomUUID() }, c, b, d, a]);
    expect(outcomes.map((outcome) => outcome.kind)).toEqual([
      'applied',
      'lease_lost',
      'already_applied',
      'applied',
      'already_applied',
      'applied',
    ]);
    expect(outcomes.map((outcome) => ('job' in outcome ? outcome.job.jobId : null))).toEqual(
      [d, null, c, b, d, a].map((token) => token?.jobId ?? null),
    );
  });

  it('of nothing does nothing', async () => {
    expect(await settle(kind, [])).toEqual([]);
  });
});

describe('a try that was not started', () => {
  it.each(['ack', 'fail'] as const)('cannot be ended by %s, until it is', async (kind) => {
    const held = await stage.held(queue, { claim: { startOnClaim: false } });
    expect(await settle(kind, [tokenOf(held)])).toEqual([{ kind: 'not_started', jobId: held.job.jobId }]);
    expect(await stage.job(held.job.jobId)).toEqual(held.job);
    await stage.repository.startMany([{ token: tokenOf(held) }]);
    expect(await settle(kind, [tokenOf(held)])).toMatchObject([{ kind: 'applied' }]);
  });

  it.each(['ack', 'fail'] as const)('is lost to %s once its lease has lapsed', async (kind) => {
    const held = await stage.held(queue, { claim: { startOnClaim: false } });
    stage.clock.advance(35_000);
    expect(await settle(kind, [tokenOf(held)])).toEqual([{ kind: 'lease_lost' }]);
  });

  it('can be released', async () => {
    const held = await stage.held(queue, { claim: { startOnClaim: false } });
    expect(await settle('release', [tokenOf(held)])).toMatchObject([{ kind: 'applied', job: { state: 'READY', attempt: 0 } }]);
  });
});

describe('a result', () => {
  it('is kept byte for byte, also an empty one', async () => {
    const held = await heldMany(2);
    const results = [Uint8Array.from({ length: 256 }, (_, index) => index), new Uint8Array()];
    await stage.repository.ackMany(
      held.map((one, index) => ({ token: tokenOf(one), result: results[index] ?? new Uint8Array(), contentType: 'a"b\\c' })),
    );
    const jobs = await stage.repository.getJobs(held.map(({ job }) => job.jobId));
    expect(jobs.map((job) => Buffer.from(job?.result ?? [9]).toString('hex'))).toEqual(
      results.map((result) => Buffer.from(result).toString('hex')),
    );
    expect(jobs.map((job) => job?.resultContentType)).toEqual(['a"b\\c', 'a"b\\c']);
  });
});
