import { describe, expect, it } from 'vitest';
import { IdempotencyScope, JobState } from '../../gen/stint/v1/job.ts';
import type { ReplayDeadLettersResult } from '../../gen/stint/v1/queue_service.ts';
import { failedJob, letters, onlyOne, terminal } from './failed-jobs.ts';
import { type Scene, useService } from './scene.ts';
import { itemReason, reasonOf, refusal, seconds, uuidV7 } from './stint.ts';

const scene = useService();

/** What became of each record: `done`, or why not. */
const outcomes = (results: readonly ReplayDeadLettersResult[]) =>
  results.map(({ result }) => {
    if (result?.$case === 'error') return itemReason(result.error);
    return result?.$case === 'jobId' ? 'done' : expect.unreachable();
  });

const REPLAYED_BEFORE = 'FAILED_PRECONDITION/INVALID_TRANSITION';

describe('ReplayDeadLetters', () => {
  it('begins a new life with fresh attempts, and marks the record', async () => {
    const one = scene();
    const { stint, namespace } = one;
    const { jobId, deadLetterId } = await failedJob(one, { retry: { maxAttempts: 2 } });
    const { results } = await stint.replayDeadLetters({ namespace, deadLetterIds: [deadLetterId], reason: 'mended' });
    expect(results).toEqual([{ deadLetterId, result: { $case: 'jobId', jobId } }]);
    expect(await one.job(jobId)).toMatchObject({ state: JobState.READY, life: 2, attempt: 0, failure: undefined });
    const retried = (await one.events(jobId)).at(-1);
    expect(retried).toMatchObject({ type: 'retried', life: 2, detail: { $case: 'retried', retried: { reason: 'mended' } } });
    expect(await letters(one)).toEqual([]);
    const letter = onlyOne(await letters(one, { includeReplayed: true }));
    expect(letter).toMatchObject({ deadLetterId, replayedAt: retried?.occurredAt });
    const { leaseToken, job } = await one.claimOne();
    expect(job).toMatchObject({ jobId, attempt: 1 });
    await stint.ack({ leaseToken });
    await one.isSound();
  });

  it('does so once for each record', async () => {
    const one = scene();
    const { stint, namespace } = one;
    const { jobId, deadLetterId } = await failedJob(one);
    const again = () => stint.replayDeadLetters({ namespace, deadLetterIds: [deadLetterId] });
    expect(outcomes((await again()).results)).toEqual(['done']);
    const { results } = await again();
    expect(outcomes(results)).toEqual([REPLAYED_BEFORE]);
    const { leaseToken } = await one.claimOne();
    await stint.fail({ leaseToken, failure: terminal() });
    expect(outcomes((await again()).results)).toEqual([REPLAYED_BEFORE]);
    expect(await one.job(jobId)).toMatchObject({ state: JobState.FAILED, life: 2 });
    const second = onlyOne(await letters(one));
    expect(second).toMatchObject({ jobId, life: 2 });
    const both = await stint.replayDeadLetters({ namespace, deadLetterIds: [deadLetterId, second.deadLetterId] });
    expect(outcomes(both.results)).toEqual([REPLAYED_BEFORE, 'done']);
    expect(await one.job(jobId)).toMatchObject({ state: JobState.READY, life: 3 });
  });

  it('changes nothing about what its failure was answered', async () => {
    const one = scene();
    const { leaseToken } = await one.enqueueAndClaim();
    const fail = () => one.stint.fail({ leaseToken, failure: terminal() });
    const { consequence } = await fail();
    const { deadLetterId } = onlyOne(await letters(one));
    expect(consequence).toEqual({ $case: 'deadLettered', deadLettered: { deadLetterId } });
    await one.stint.replayDeadLetters({ namespace: one.namespace, deadLetterIds: [deadLetterId] });
    expect((await fail()).consequence).toEqual(consequence);
  });

  it('counts a retry by hand as the replay', async () => {
    const one = scene();
    const { stint, namespace, queue } = one;
    const { jobId, deadLetterId } = await failedJob(one);
    await stint.retryJob({ namespace, jobId });
    const { results } = await stint.replayDeadLetters({ namespace, deadLetterIds: [deadLetterId] });
    expect(outcomes(results)).toEqual([REPLAYED_BEFORE]);
    expect((await stint.replayDeadLetters({ namespace, queue })).results).toEqual([]);
    expect(onlyOne(await letters(one, { includeReplayed: true })).replayedAt).toEqual((await one.events(jobId)).at(-1)?.occurredAt);
    expect(await one.job(jobId)).toMatchObject({ life: 2 });
  });

  it('lets one of many win a record', async () => {
    const one = scene();
    const { stint, namespace, queue } = one;
    for (let round = 0; round < 15; round += 1) {
      const { jobId, deadLetterId } = await failedJob(one);
      const replays = await Promise.all([
        ...[1, 2, 3].map(() => stint.replayDeadLetters({ namespace, deadLetterIds: [deadLetterId] })),
        stint.replayDeadLetters({ namespace, queue }),
      ]);
      const won = replays.flatMap(({ results }) => outcomes(results)).filter((outcome) => outcome === 'done');
      expect(won).toEqual(['done']);
      const { leaseToken, job } = await one.claimOne();
      expect(job).toMatchObject({ jobId, life: 2 });
      await stint.ack({ leaseToken });
    }
    expect((await one.claim()).jobs).toEqual([]);
    await one.isSound();
  });

  it('refuses what is not there item by item, and does the others', async () => {
    const [one, stranger] = [scene(), scene()];
    const { stint, namespace, queue } = one;
    const mine = await failedJob(one);
    const other = await failedJob(one, { queue: 'other' });
    const theirs = await failedJob(stranger);
    const { jobId } = await one.enqueue();
    const deadLetterIds = [`${uuidV7()}.1`, theirs.deadLetterId, `${jobId}.1`, `${mine.jobId}.2`, other.deadLetterId, mine.deadLetterId];
    const { results } = await stint.replayDeadLetters({ namespace, queue, deadLetterIds });
    expect(results.map(({ deadLetterId }) => deadLetterId)).toEqual(deadLetterIds);
    expect(outcomes(results)).toEqual([...Array.from({ length: 5 }, () => 'NOT_FOUND/JOB_NOT_FOUND'), 'done']);
    expect(await stranger.job(theirs.jobId)).toMatchObject({ state: JobState.FAILED });
    expect(outcomes((await stint.replayDeadLetters({ namespace, deadLetterIds: [other.deadLetterId] })).results)).toEqual(['done']);
  });

  it('refuses a job whose key another one holds by now', async () => {
    const one = scene();
    const { stint, namespace } = one;
    const spec = { idempotencyKey: 'k', idempotency: { scope: IdempotencyScope.UNTIL_TERMINAL } };
    const { deadLetterId } = await failedJob(one, spec);
    const successor = await one.enqueueAndClaim(spec);
    const replay = () => stint.replayDeadLetters({ namespace, deadLetterIds: [deadLetterId] });
    expect(outcomes((await replay()).results)).toEqual(['ALREADY_EXISTS/DUPLICATE_JOB']);
    await stint.ack({ leaseToken: successor.leaseToken });
    expect(outcomes((await replay()).results)).toEqual(['done']);
  });

  it('replays what a filter finds, a page at a time, each once though it fails again', async () => {
    const one = scene();
    const { stint, namespace, queue } = one;
    const wanted: string[] = [];
    for (let count = 0; count < 5; count += 1) {
      wanted.push((await failedJob(one, { type: 'x' }, 'c')).jobId);
      await failedJob(one, { type: 'y' }, 'c');
      await failedJob(one, { type: 'x' }, 'd');
    }
    const replayed: string[] = [];
    let pages = 0;
    for (let pageToken = ''; pages === 0 || pageToken !== ''; pages += 1) {
      const page = await stint.replayDeadLetters({ namespace, queue, type: 'x', failureCode: 'c', pageSize: 2, pageToken });
      pageToken = page.nextPageToken;
      for (const { result } of page.results) {
        if (result?.$case !== 'jobId') throw new Error('refused');
        replayed.push(result.jobId);
        const { leaseToken } = await one.claimOne();
        await stint.fail({ leaseToken, failure: terminal('c') });
      }
      expect(pages).toBeLessThan(5);
    }
    expect(replayed).toEqual(wanted);
    expect(await letters(one, { type: 'x', failureCode: 'c' })).toHaveLength(5);
  });

  it('tells of a dry run what it would do, and does nothing', async () => {
    const one = scene();
    const { stint, namespace, queue } = one;
    const first = await failedJob(one);
    const second = await failedJob(one);
    await stint.retryJob({ namespace, jobId: first.jobId });
    const before = await one.picture(second.jobId);
    const found = await stint.replayDeadLetters({ namespace, queue, dryRun: true });
    expect(found.results).toEqual([{ deadLetterId: second.deadLetterId, result: { $case: 'jobId', jobId: second.jobId } }]);
    const theirs = await failedJob(scene());
    const deadLetterIds = [first.deadLetterId, second.deadLetterId, `${uuidV7()}.1`, theirs.deadLetterId];
    const named = await stint.replayDeadLetters({ namespace, deadLetterIds, dryRun: true });
    const unknown = 'NOT_FOUND/JOB_NOT_FOUND';
    expect(outcomes(named.results)).toEqual([REPLAYED_BEFORE, 'done', unknown, unknown]);
    expect(await one.picture(second.jobId)).toEqual(before);
    expect(await letters(one)).toHaveLength(1);
  });

  it('answers a repeated request the same, page and token, and does nothing again', async () => {
    const one = scene();
    const { stint, namespace, queue } = one;
    const ids: string[] = [];
    for (let count = 0; count < 3; count += 1) ids.push((await failedJob(one)).deadLetterId);
    const page = { namespace, queue, pageSize: 2, requestId: 'r1' };
    const [first, second] = await Promise.all([stint.replayDeadLetters(page), stint.replayDeadLetters(page)]);
    expect(first.results.map(({ deadLetterId }) => deadLetterId)).toEqual(ids.slice(0, 2));
    expect(second).toEqual(first);
    const { leaseToken } = await one.claimOne();
    await stint.fail({ leaseToken, failure: terminal() });
    expect(await stint.replayDeadLetters(page)).toEqual(first);
    expect(await letters(one)).toHaveLength(2);
    const rest = await stint.replayDeadLetters({ ...page, requestId: 'r2', pageToken: first.nextPageToken });
    expect(rest).toMatchObject({ results: [{ deadLetterId: ids[2], result: { $case: 'jobId' } }], nextPageToken: '' });
    const { violations } = await refusal(stint.replayDeadLetters({ ...page, reason: 'another' }));
    expect(violations.map(({ field }) => field)).toEqual(['request_id']);
  });

  it('wakes a claim that waits', async () => {
    const one = scene();
    const { jobId, deadLetterId } = await failedJob(one);
    const waiting = one.claimOne({ wait: seconds(10) });
    const startedAt = performance.now();
    await one.stint.replayDeadLetters({ namespace: one.namespace, deadLetterIds: [deadLetterId] });
    expect((await waiting).jobId).toBe(jobId);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });

  it('does not find a queue that is not there', async () => {
    const { stint, namespace } = scene();
    expect(await reasonOf(stint.replayDeadLetters({ namespace, queue: 'absent' }))).toBe('NOT_FOUND/QUEUE_NOT_FOUND');
  });
});

describe('a field that makes no sense is named', () => {
  const id = `${uuidV7()}.1`;
  const long = Array.from({ length: 1_001 }, (_, index) => `${uuidV7()}.${index + 1}`);
  it.each<[string, (one: Scene) => Promise<unknown>]>([
    ['queue', ({ stint, namespace }) => stint.replayDeadLetters({ namespace })],
    ['queue', ({ stint }) => stint.replayDeadLetters({ queue: 'no spaces', deadLetterIds: [id] })],
    ['type', ({ stint, queue }) => stint.replayDeadLetters({ queue, type: 'a/b' })],
    ['type', ({ stint }) => stint.replayDeadLetters({ deadLetterIds: [id], type: 'x' })],
    ['failure_code', ({ stint, queue }) => stint.replayDeadLetters({ queue, failureCode: 'a/b' })],
    ['failure_code', ({ stint }) => stint.replayDeadLetters({ deadLetterIds: [id], failureCode: 'x' })],
    ['page_token', ({ stint }) => stint.replayDeadLetters({ deadLetterIds: [id], pageToken: 'x' })],
    ['page_token', ({ stint, queue }) => stint.replayDeadLetters({ queue, pageToken: 'made-up' })],
    ['page_size', ({ stint, queue }) => stint.replayDeadLetters({ queue, pageSize: -1 })],
    ['reason', ({ stint, queue }) => stint.replayDeadLetters({ queue, reason: 'x'.repeat(1_025) })],
    ['request_id', ({ stint, queue }) => stint.replayDeadLetters({ queue, requestId: 'x'.repeat(257) })],
    ['dead_letter_ids', ({ stint }) => stint.replayDeadLetters({ deadLetterIds: long })],
    ['dead_letter_ids[1]', ({ stint }) => stint.replayDeadLetters({ deadLetterIds: [id, id] })],
    ...['', 'x', uuidV7(), `${uuidV7()}.0`, `${uuidV7()}.01`, `${uuidV7()}.1.1`, `${uuidV7()}.2147483648`, `${id} `].map(
      (malformed): [string, (one: Scene) => Promise<unknown>] => [
        'dead_letter_ids[1]',
        ({ stint }) => stint.replayDeadLetters({ deadLetterIds: [id, malformed] }),
      ],
    ),
  ])('%s', async (field, call) => {
    const { info, violations } = await refusal(call(scene()));
    expect(info?.reason).toBe('INVALID_FIELD');
    expect(violations.map((violation) => violation.field)).toEqual([field]);
  });

  it('page_token, where it was given for another filter or another call', async () => {
    const one = scene();
    const { stint, namespace, queue } = one;
    await failedJob(one);
    await failedJob(one);
    const { nextPageToken: pageToken } = await stint.listDeadLetters({ namespace, queue, pageSize: 1 });
    expect(pageToken).not.toBe('');
    const refused = [
      () => stint.listDeadLetters({ namespace, queue, includeReplayed: true, pageToken }),
      () => stint.listDeadLetters({ namespace, pageToken }),
      () => stint.replayDeadLetters({ namespace, queue, pageToken }),
    ];
    for (const call of refused) expect((await refusal(call())).violations.map(({ field }) => field)).toEqual(['page_token']);
  });
});
