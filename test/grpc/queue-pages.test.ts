/** Lists of queues and of what was done to them stop before the bound of a response, and lose nothing by it. */
import { describe, expect, it } from 'vitest';
import { ListAuditRecordsResponse, ListQueuesResponse } from '../../gen/stint/v1/queue_service.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { DEFAULT_SETTINGS } from '../../src/domain/queue.ts';
import { listAuditRecords } from '../../src/grpc/queues/list-audit-records.ts';
import { listQueues } from '../../src/grpc/queues/list-queues.ts';
import { anyCall, stubEngine } from './stub-engine.ts';

const numbers = Array.from({ length: LIMITS.pageItems }, (_, n) => n);

const nonRetryableCodes = Array.from({ length: LIMITS.nonRetryableCodes }, (_, n) => String(n).padStart(LIMITS.nameLength, 'x'));
const settings = { ...DEFAULT_SETTINGS, retry: { ...DEFAULT_SETTINGS.retry, nonRetryableCodes } };

const QUEUES = numbers.map((n) => ({
  ...{ namespace: 'n', name: `q${String(n).padStart(4, '0')}`, settings, createdAt: 1, updatedAt: 2 },
  ...({ status: 'PAUSED', statusReason: 'r'.repeat(LIMITS.reasonBytes) } as const),
}));

const RECORDS = numbers.map((n) => ({
  ...{ position: BigInt(LIMITS.pageItems - n), namespace: 'n', queue: 'q', at: 1, actor: '127.0.0.1:4242', action: 'PUT' },
  ...{ reason: String(n), before: 'b'.repeat(14_000), after: 'a'.repeat(14_000) },
}));

const engine = stubEngine({
  queues: {
    listQueues: async ({ after, pageSize }) => QUEUES.filter(({ name }) => name > after).slice(0, pageSize),
    listAudit: async ({ before, pageSize }) => {
      const records = RECORDS.filter(({ position }) => before === null || position < before).slice(0, pageSize);
      return { records, nextBefore: records.length < pageSize ? null : (records.at(-1)?.position ?? null) };
    },
  },
});

/** What each page holds, and the bytes of the largest. */
async function follow(page: (pageToken: string) => Promise<{ items: string[]; nextPageToken: string; bytes: number }>) {
  const pages: string[][] = [];
  let largest = 0;
  for (let pageToken: string | undefined; pageToken !== '';) {
    const { items, nextPageToken, bytes } = await page(pageToken ?? '');
    pages.push(items);
    largest = Math.max(largest, bytes);
    pageToken = nextPageToken;
  }
  return { pages, largest };
}

describe('a page of a thousand', () => {
  it('queues with all that they can be told is cut, and goes on behind the cut', async () => {
    const { pages, largest } = await follow(async (pageToken) => {
      const response = await listQueues(engine)({ namespace: 'n', pageSize: 1_000, pageToken }, anyCall());
      const bytes = ListQueuesResponse.encode(response).finish().byteLength;
      return { items: response.queues.map(({ name }) => name), nextPageToken: response.nextPageToken, bytes };
    });
    expect(pages.flat()).toEqual(QUEUES.map(({ name }) => name));
    expect(largest).toBeLessThanOrEqual(LIMITS.responseBytes);
    expect(largest).toBeGreaterThan(LIMITS.responseBytes / 2);
  });

  it('audit records with all their settings is cut, and goes on below the cut', async () => {
    const { pages, largest } = await follow(async (pageToken) => {
      const response = await listAuditRecords(engine)({ namespace: 'n', queue: '', pageSize: 1_000, pageToken }, anyCall());
      const bytes = ListAuditRecordsResponse.encode(response).finish().byteLength;
      return { items: response.records.map(({ reason }) => reason), nextPageToken: response.nextPageToken, bytes };
    });
    expect(pages.flat()).toEqual(RECORDS.map(({ reason }) => reason));
    expect(largest).toBeLessThanOrEqual(LIMITS.responseBytes);
    expect(largest).toBeGreaterThan(LIMITS.responseBytes / 2);
  });
});
