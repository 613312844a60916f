/** Transactions that have called the door and stay open, and operators who change the queue beside them. */
import { randomUUID } from 'node:crypto';
import type { ReservedSql } from 'postgres';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { OperatorAction } from '../../../gen/stint/v1/queue_service.ts';
import { connect, type Stint } from '../../contract/stint.ts';
import { startService, type TestService } from '../../support/service.ts';

let service: TestService;
let stint: Stint;
let transaction: ReservedSql;
let namespace: string;
beforeAll(async () => {
  service = await startService();
  stint = connect(service.address);
});
beforeEach(async () => {
  namespace = `test-${randomUUID()}`;
  await stint.enqueue({ namespace, job: { queue: 'q' } });
  transaction = await service.database.sql.reserve();
});
afterEach(async () => {
  await transaction`rollback`;
  transaction.release();
});
afterAll(async () => {
  stint.close();
  await service.stop();
});

const enter = () => transaction`select job_id from stint.enqueue('q', namespace => ${namespace})`;
const apply = (action: OperatorAction) => stint.applyAction({ namespace, queue: 'q', action });

async function violations() {
  const found = [];
  let pageToken = '';
  do {
    const page = await stint.checkInvariants({ namespace, pageToken });
    found.push(...page.violations);
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  return found;
}

describe.each(['repeatable read', 'serializable'])('a %s transaction whose snapshot is older', (isolation) => {
  beforeEach(async () => {
    await transaction.unsafe(`begin isolation level ${isolation}`);
    await transaction`select from stint.queue`;
  });

  it('than a drain adds nothing behind its back', async () => {
    await apply(OperatorAction.DRAIN_BACKLOG);
    await expect(enter()).rejects.toMatchObject({ code: '40001' });
    expect(await violations()).toEqual([]);
  });

  it('than the first bound of the queue adds nothing uncounted', async () => {
    await stint.putQueue({ namespace, queue: { name: 'q', maxQueued: 1 } });
    await expect(enter()).rejects.toMatchObject({ code: '40001' });
    expect(await violations()).toEqual([]);
  });

  it('than nothing that was done to the queue adds as many as it likes', async () => {
    await enter();
    await enter();
    await transaction`commit`;
    expect(await stint.peekQueue({ namespace, queue: 'q' })).toMatchObject({ jobs: { length: 3 } });
  });
});

describe('an open transaction that has enqueued into a bounded queue', () => {
  it('keeps nobody from pausing and resuming it', async () => {
    await stint.putQueue({ namespace, queue: { name: 'q', maxQueued: 10 } });
    await transaction`begin`;
    await enter();
    expect(await apply(OperatorAction.PAUSE)).toMatchObject({ changed: true, queue: { maxQueued: 10 } });
    expect(await apply(OperatorAction.RESUME)).toMatchObject({ changed: true });
    await transaction`commit`;
    expect(await violations()).toEqual([]);
  });
});
