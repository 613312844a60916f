import { describe, expect, it } from 'vitest';
import { QueueMode } from '../../gen/stint/v1/queue.ts';
import { type AuditRecord, OperatorAction } from '../../gen/stint/v1/queue_service.ts';
import { type Scene, useService } from './scene.ts';
import { codeOf, micros, reasonOf, refusal, seconds } from './stint.ts';

const scene = useService();

type AuditQuery = Parameters<Scene['stint']['listAuditRecords']>[0];
type Action = Parameters<Scene['stint']['applyAction']>[0];

const apply = ({ stint, namespace, queue }: Scene, action: OperatorAction, told: Action = {}) =>
  stint.applyAction({ namespace, queue, action, ...told });

async function records({ stint, namespace }: Scene, query: AuditQuery = {}): Promise<AuditRecord[]> {
  const { records: found, nextPageToken } = await stint.listAuditRecords({ namespace, ...query });
  expect(nextPageToken).toBe('');
  return found;
}

const inShort = ({ queue, action, before, after }: AuditRecord) => [queue, action, before, after];

describe('an audit record', () => {
  it('tells who did what to which queue, when and why, and what was before and after', async () => {
    const one = scene();
    const { stint, namespace, queue } = one;
    await stint.putQueue({ namespace, queue: { name: queue } });
    const earliest = micros((await stint.getServerInfo({})).databaseTime);
    await apply(one, OperatorAction.PAUSE, { reason: 'the printer is on fire' });
    const latest = micros((await stint.getServerInfo({})).databaseTime);
    const [record] = await records(one);
    const told = { namespace, queue, action: 'PAUSE', reason: 'the printer is on fire', before: '"ACTIVE"', after: '"PAUSED"' };
    expect(record).toMatchObject({ ...told, actor: expect.stringMatching(/^\S+:\d+$/) });
    expect(micros(record?.at)).toBeGreaterThanOrEqual(earliest);
    expect(micros(record?.at)).toBeLessThanOrEqual(latest);
  });

  it('is left by each PutQueue, with all settings before and after', async () => {
    const one = scene();
    const { stint, namespace, queue } = one;
    await stint.putQueue({ namespace, queue: { name: queue, maxQueued: 5, rateLimit: { perKey: false, permits: 3, period: seconds(2) } } });
    await stint.putQueue({ namespace, queue: { name: queue, mode: QueueMode.PUSH_ONLY }, updateMask: ['mode', 'max_queued'] });
    const [second, first] = await records(one);
    expect(first).toMatchObject({ namespace, queue, action: 'PUT', reason: '' });
    const rateLimit = { perKey: false, permits: 3, periodMs: 2_000, burst: 3 };
    expect(JSON.parse(first?.before ?? '')).toMatchObject({
      mode: 'PUSH_PULL',
      maxQueued: null,
      rateLimit: null,
      retry: { maxAttempts: 10 },
    });
    expect(JSON.parse(first?.after ?? '')).toMatchObject({ mode: 'PUSH_PULL', maxQueued: 5, rateLimit, retry: { maxAttempts: 10 } });
    expect(second?.before).toBe(first?.after);
    expect(JSON.parse(second?.after ?? '')).toMatchObject({ mode: 'PUSH_ONLY', maxQueued: null, rateLimit });
    await stint.putQueue({ namespace, queue: { name: queue }, updateMask: ['max_queued'] });
    const [unchanged] = await records(one);
    expect([unchanged?.before, unchanged?.after]).toEqual([second?.after, second?.after]);
    expect(await records(one)).toHaveLength(3);
  });

  it('is left by every action, newest first, also by one that changes nothing', async () => {
    const one = scene();
    await one.enqueue();
    const { PAUSE, RESUME, DRAIN_BACKLOG, DRAIN_IN_FLIGHT } = OperatorAction;
    for (const action of [PAUSE, PAUSE, DRAIN_BACKLOG, DRAIN_IN_FLIGHT, RESUME]) await apply(one, action);
    for (const action of [PAUSE, RESUME, RESUME]) await apply(one, action, { queue: '' });
    expect((await records(one)).map(inShort)).toEqual([
      ['', 'RESUME', '"ACTIVE"', '"ACTIVE"'],
      ['', 'RESUME', '"PAUSED"', '"ACTIVE"'],
      ['', 'PAUSE', '"ACTIVE"', '"PAUSED"'],
      [one.queue, 'RESUME', '"DRAINING_IN_FLIGHT"', '"ACTIVE"'],
      [one.queue, 'DRAIN_IN_FLIGHT', '"DRAINING_BACKLOG"', '"DRAINING_IN_FLIGHT"'],
      [one.queue, 'DRAIN_BACKLOG', '"PAUSED"', '"DRAINING_BACKLOG"'],
      [one.queue, 'PAUSE', '"PAUSED"', '"PAUSED"'],
      [one.queue, 'PAUSE', '"ACTIVE"', '"PAUSED"'],
    ]);
  });

  it('is not left by a call that is refused', async () => {
    const one = scene();
    const { stint, namespace } = one;
    expect(await reasonOf(apply(one, OperatorAction.PAUSE))).toBe('NOT_FOUND/QUEUE_NOT_FOUND');
    await one.enqueue();
    expect(await codeOf(apply(one, OperatorAction.UNSPECIFIED))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(apply(one, OperatorAction.PAUSE, { reason: 'x'.repeat(1_025) }))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(apply(one, OperatorAction.DRAIN_BACKLOG, { queue: '' }))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(stint.putQueue({ namespace, queue: { name: one.queue, maxQueued: 0 } }))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(stint.putQueue({ namespace, queue: { name: 'a', deadLetter: { queue: 'a' } } }))).toBe('INVALID_ARGUMENT');
    expect(await records(one)).toEqual([]);
  });

  it('is not left again by a repeated call', async () => {
    const one = scene();
    const { stint, namespace, queue } = one;
    const calls = [
      () => stint.putQueue({ namespace, queue: { name: queue, maxQueued: 9 }, requestId: 'r-1' }),
      () => apply(one, OperatorAction.PAUSE, { requestId: 'r-1', reason: 'once' }),
      () => apply(one, OperatorAction.PAUSE, { requestId: 'r-2', queue: '' }),
    ];
    for (const call of calls) expect(await call()).toEqual(await call());
    expect((await records(one)).map(({ action }) => action)).toEqual(['PAUSE', 'PAUSE', 'PUT']);
    await refusal(apply(one, OperatorAction.RESUME, { requestId: 'r-1', reason: 'once' }));
    expect(await records(one)).toHaveLength(3);
  });
});

describe('ListAuditRecords', () => {
  /** Reasons of what was done to two queues and the namespace in turns: newest last. */
  async function busy(one: Scene): Promise<string[]> {
    await one.stint.enqueueBatch({ namespace: one.namespace, jobs: ['a', 'b'].map((queue) => ({ queue })) });
    const reasons: string[] = [];
    for (const round of [1, 2, 3]) {
      for (const queue of ['a', 'b', '']) {
        await apply(one, OperatorAction.PAUSE, { queue, reason: `${queue}${round}` });
        reasons.push(`${queue}${round}`);
      }
    }
    return reasons;
  }

  async function paged({ stint, namespace }: Scene, query: AuditQuery): Promise<string[]> {
    const found: string[] = [];
    for (let pageToken: string | undefined; pageToken !== '';) {
      const page = await stint.listAuditRecords({ namespace, ...query, pageToken: pageToken ?? '' });
      expect(page.records.length).toBeLessThanOrEqual(query.pageSize ?? 100);
      found.push(...page.records.map(({ reason }) => reason));
      pageToken = page.nextPageToken;
    }
    return found;
  }

  it('tells all of a namespace, or only what was done to one queue', async () => {
    const [one, another] = [scene(), scene()];
    const reasons = (await busy(one)).reverse();
    expect((await records(one)).map(({ reason }) => reason)).toEqual(reasons);
    expect((await records(one, { queue: 'a' })).map(({ reason }) => reason)).toEqual(['a3', 'a2', 'a1']);
    expect(await records(one, { queue: 'absent' })).toEqual([]);
    expect(await records(another)).toEqual([]);
  });

  it.each([1, 2, 3, 9])('gives each record once in pages of %d', async (pageSize) => {
    const one = scene();
    const reasons = (await busy(one)).reverse();
    expect(await paged(one, { pageSize })).toEqual(reasons);
    expect(await paged(one, { pageSize, queue: 'b' })).toEqual(['b3', 'b2', 'b1']);
  });

  it('goes on below the last record, whatever has been done since', async () => {
    const one = scene();
    await busy(one);
    const { stint, namespace } = one;
    const { nextPageToken } = await stint.listAuditRecords({ namespace, pageSize: 2 });
    await apply(one, OperatorAction.RESUME, { queue: 'a', reason: 'since' });
    const next = await stint.listAuditRecords({ namespace, pageSize: 2, pageToken: nextPageToken });
    expect(next.records.map(({ reason }) => reason)).toEqual(['a3', '2']);
  });

  it('follows no token of another namespace or queue, and is held to its bounds', async () => {
    const one = scene();
    await busy(one);
    const { stint, namespace } = one;
    const { nextPageToken } = await stint.listAuditRecords({ namespace, pageSize: 2 });
    const fieldOf = async (query: AuditQuery) => (await refusal(stint.listAuditRecords(query))).violations.map(({ field }) => field);
    expect(await fieldOf({ namespace: `${namespace}x`, pageToken: nextPageToken })).toEqual(['page_token']);
    expect(await fieldOf({ namespace, queue: 'a', pageToken: nextPageToken })).toEqual(['page_token']);
    expect(await fieldOf({ namespace, pageToken: 'made-up' })).toEqual(['page_token']);
    expect(await fieldOf({ namespace, pageSize: -1 })).toEqual(['page_size']);
    expect(await fieldOf({ namespace, pageSize: 1_001 })).toEqual(['page_size']);
    expect(await fieldOf({ namespace, queue: 'no spaces' })).toEqual(['queue']);
  });
});
