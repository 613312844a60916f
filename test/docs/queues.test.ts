/** The page on queues: its lines run as they stand, one after the other, and its table is what can be set. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, credentials, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFAULT_SETTINGS } from '../../src/domain/queue.ts';
import { connect, type Stint } from '../contract/stint.ts';
import { projectRoot } from '../house/source.ts';
import { startService, type TestService } from '../support/service.ts';
import { fieldNames, methodOf, requestOf, type RpcLine, rpcLines } from './rpc-lines.ts';

const CALL_DEADLINE_MS = 15_000;
const page = readFileSync(join(projectRoot, 'docs/queues.md'), 'utf8');
const blocks = [...page.matchAll(/```sh\n([^`]+)```/g)].map((match) => rpcLines(match[1] ?? ''));

describe('docs/queues.md', () => {
  let service: TestService;
  let client: Client;
  let stint: Stint;
  beforeAll(async () => {
    service = await startService();
    client = new Client(service.address, credentials.createInsecure());
    stint = connect(service.address);
    await stint.enqueue({ job: { queue: 'mail' } });
  });
  afterAll(async () => {
    client.close();
    stint.close();
    await service.stop();
  });

  /** The answers: of a unary call one, of a stream all. */
  const call = (line: RpcLine) =>
    new Promise<unknown[]>((resolve, reject) => {
      const method = methodOf(line) ?? expect.unreachable();
      const { path, requestSerialize, responseDeserialize } = method;
      const answers: unknown[] = [];
      // A unary call is a stream of one answer to whoever reads it so.
      client
        .makeServerStreamRequest(path, requestSerialize, responseDeserialize, requestOf(line), { deadline: Date.now() + CALL_DEADLINE_MS })
        .on('data', (answer: unknown) => answers.push(answer))
        .on('error', reject)
        .on('status', ({ code }) => {
          if (code === status.OK) resolve(answers);
        });
    });

  it('has lines that run', async () => {
    expect(blocks.map((lines) => lines.length)).toEqual([7, 2, 2, 5, 1, 4, 11]);
    const answers = new Map<string, unknown>();
    for (const line of blocks.flat()) answers.set(`${line.method} ${line.json}`, (await call(line)).at(-1));
    const answerTo = (beginning: string) => [...answers].find(([line]) => line.startsWith(beginning))?.[1];
    expect(answerTo('WaitDrained')).toMatchObject({ drained: true, status: 'QUEUE_STATUS_DRAINING_IN_FLIGHT' });
    expect(answerTo('GetQueue')).toMatchObject({ queue: { max_queued: 5_000, retry: { max_attempts: 5 } } });
    expect(answerTo('GetQueue')).not.toMatchObject({ queue: { max_in_flight: expect.any(Number) } });
    expect(answerTo('GetQueueStats')).toMatchObject({ stats: { jobs: { ready: { low: 5 } }, limiter: 'QUEUE_LIMITER_WORKERS' } });
    expect(answerTo('CheckInvariants')).not.toHaveProperty('violations');
    expect(answerTo('ListJobs {"queue": "mail", "states": ["JOB_STATE_BLOCKED"]')).toMatchObject({ jobs: { length: 1 } });
    expect(answerTo('ListAuditRecords')).toMatchObject({ records: { length: 14 } });
    expect(answerTo('Prune')).toMatchObject({ complete: true });
    const { queue } = await stint.getQueue({ queue: 'mail' });
    expect(queue).toMatchObject({ maxInFlight: 20, maxQueued: 5_000, rateLimit: undefined });
  });
});

describe('the table of settings in docs/queues.md', () => {
  const rows = [...page.matchAll(/^\| `([a-z_.]+)` \| ([^|]+) \|/gm)].map((match): [string, string] => [match[1] ?? '', match[2] ?? '']);
  const NOT_SET = ['name', 'status', 'status_reason', 'created_at', 'updated_at'];
  const NOT_SERVED: string[] = [];

  it('names each that can be set, and no other', () => {
    const own = fieldNames('Queue').filter((name) => ![...NOT_SET, ...NOT_SERVED, 'retry', 'dead_letter'].includes(name));
    const retry = fieldNames('RetryPolicy').map((name) => `retry.${name}`);
    const deadLetter = fieldNames('DeadLetterPolicy').map((name) => `dead_letter.${name}`);
    expect(rows.map(([name]) => name).toSorted()).toEqual([...own, ...retry, ...deadLetter].toSorted());
  });

  it('tells the defaults as they are', () => {
    const { retry, ...queue } = DEFAULT_SETTINGS;
    const seconds = (milliseconds: number) => `${milliseconds / 1_000} s`;
    const orNone = (text: string) => (text === '' || text === 'null' ? 'none' : text);
    expect(Object.fromEntries(rows)).toEqual({
      mode: `\`${queue.mode}\``,
      max_in_flight: orNone(JSON.stringify(queue.maxInFlight)),
      max_in_flight_per_worker: orNone(JSON.stringify(queue.maxInFlightPerWorker)),
      max_queued: orNone(JSON.stringify(queue.maxQueued)),
      rate_limit: orNone(JSON.stringify(queue.rateLimit)),
      concurrency_per_key: String(queue.concurrencyPerKey),
      concurrency_policy: `\`${queue.concurrencyPolicy}\``,
      cancellation_budget: seconds(queue.cancellationBudgetMs),
      lease_duration: seconds(queue.leaseDurationMs),
      lease_grace: seconds(queue.leaseGraceMs),
      'retry.max_attempts': String(retry.maxAttempts),
      'retry.initial_backoff': seconds(retry.initialBackoffMs),
      'retry.multiplier': String(retry.multiplier),
      'retry.max_backoff': seconds(retry.maxBackoffMs),
      'retry.jitter': String(retry.jitter),
      'retry.non_retryable_codes': orNone(retry.nonRetryableCodes.join()),
      'dead_letter.enabled': String(queue.deadLetterEnabled),
      'dead_letter.queue': orNone(queue.deadLetterQueue),
      retention: `${queue.retentionMs / 86_400_000} days`,
      fairness_weights: Object.keys(queue.fairnessWeights).join() || 'none',
      'dead_letter.max_payload_bytes': queue.deadLetterPayloadBytes.toLocaleString('en'),
    });
  });
});
