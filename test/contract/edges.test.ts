import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { type ServiceDefinition, type ServiceError, status as Code } from '@grpc/grpc-js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ExternalScalerService } from '../../gen/externalscaler/externalscaler.ts';
import { EventServiceService } from '../../gen/stint/v1/event_service.ts';
import { JobServiceService } from '../../gen/stint/v1/job_service.ts';
import { QueueServiceService } from '../../gen/stint/v1/queue_service.ts';
import { WorkerServiceService } from '../../gen/stint/v1/worker_service.ts';
import { richStatus } from '../support/rich-status.ts';
import { useService } from './scene.ts';
import { held, refusal, reasonOf, type Stint } from './stint.ts';

const scene = useService();

type Method = ServiceDefinition[string];
const definitions: ServiceDefinition[] = [
  ...[JobServiceService, WorkerServiceService, EventServiceService, QueueServiceService],
  ExternalScalerService,
];
const methods = definitions.flatMap((definition) => Object.values(definition));
const name = ({ path }: Method) => path.slice(1);

const identity = (bytes: Buffer) => bytes;

/** How a call with these bytes ends; null is well. */
function endOf({ raw }: Stint, method: Method, request: Buffer): Promise<ServiceError | null> {
  return new Promise((resolve) => {
    const client = raw.jobs;
    const options = { deadline: Date.now() + 2_000 };
    if (!method.responseStream) {
      client.makeUnaryRequest(method.path, identity, identity, request, options, resolve);
      return;
    }
    const stream = method.requestStream
      ? client.makeBidiStreamRequest(method.path, identity, identity, options)
      : client.makeServerStreamRequest(method.path, identity, identity, request, options);
    stream.on('error', resolve).on('end', () => resolve(null));
    // What is open and sends is well, and would go on.
    stream.once('data', () => {
      resolve(null);
      stream.cancel();
    });
  });
}

describe('an RPC', () => {
  it('is served exactly if the server says so, and else answers UNIMPLEMENTED with its name', async () => {
    const { stint } = scene();
    const served = new Set((await stint.getServerInfo({})).capabilities);
    for (const method of methods.filter((one) => !served.has(name(one)))) {
      const error = await endOf(stint, method, Buffer.alloc(0));
      expect(error?.code, name(method)).toBe(Code.UNIMPLEMENTED);
      expect(error?.details).toContain(name(method));
    }
    for (const method of methods.filter((one) => served.has(name(one)))) {
      expect((await endOf(stint, method, Buffer.alloc(0)))?.code, name(method)).not.toBe(Code.UNIMPLEMENTED);
    }
    expect(served.size).toBeGreaterThan(15);
  });

  it('that nobody has heard of is UNIMPLEMENTED too', async () => {
    const method = { ...JobServiceService.enqueue, path: '/stint.v1.JobService/Nothing' };
    expect((await endOf(scene().stint, method, Buffer.alloc(0)))?.code).toBe(Code.UNIMPLEMENTED);
  });
});

describe('a request that makes no sense', () => {
  const texts = fc.constantFrom(
    '',
    'default',
    'q',
    'a\0b',
    '\ud800',
    '💥',
    'x'.repeat(300),
    '../..',
    "'; drop table job; --",
    '0199c2f4-6a3e-7c1b-9d55-0c1f6f0a7b21',
  );
  const numbers = fc.constantFrom(0n, 1n, 2n, 99n, 1_000n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n);

  /** Messages of any shape: fields of the right number and form are read, the others skipped. */
  const { message } = fc.letrec<{ message: Buffer; field: (writer: BinaryWriter, number: number) => void }>((tie) => ({
    message: fc.array(fc.tuple(fc.integer({ min: 1, max: 20 }), tie('field')), { maxLength: 8 }).map((fields) => {
      const writer = new BinaryWriter();
      for (const [number, write] of fields) write(writer, number);
      return Buffer.from(writer.finish());
    }),
    field: fc.oneof(
      { maxDepth: 3 },
      texts.map((text) => (writer: BinaryWriter, number: number) => void writer.tag(number, 2).string(text)),
      numbers.map((value) => (writer: BinaryWriter, number: number) => void writer.tag(number, 0).uint64(value)),
      tie('message').map((inner) => (writer: BinaryWriter, number: number) => void writer.tag(number, 2).bytes(inner)),
    ),
  }));

  it('is refused with its reason or done, and never meets a defect', { timeout: 120_000 }, async () => {
    const { stint } = scene();
    const request = fc.oneof(
      message,
      fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...methods), request, async (method, bytes) => {
        const error = await endOf(stint, method, bytes);
        if (error === null || error.code === Code.DEADLINE_EXCEEDED) return;
        expect([Code.INTERNAL, Code.UNKNOWN, Code.UNAVAILABLE]).not.toContain(error.code);
        expect(richStatus(error).info).toMatchObject({ domain: 'stint' });
      }),
      { numRuns: 400 },
    );
  });

  it('names every field that is wrong', async () => {
    const { stint } = scene();
    const { violations } = await refusal(stint.enqueue({ namespace: '?', job: { queue: '', type: '/', retry: { maxAttempts: -1 } } }));
    expect(violations.map(({ field }) => field).toSorted()).toEqual(['job.queue', 'job.retry.max_attempts', 'job.type', 'namespace']);
  });

  it('of more than four MiB is refused with its reason', async () => {
    const { stint, namespace, queue } = scene();
    const jobs = Array.from({ length: 5 }, () => ({ queue, payload: Buffer.alloc(1_000_000) }));
    expect(await reasonOf(stint.enqueueBatch({ namespace, jobs }))).toBe('INVALID_ARGUMENT/INVALID_FIELD');
  });
});

describe('an answer', () => {
  it('stops before it is too large, and leaves what does not fit unclaimed', async () => {
    const { namespace, queue, stint, claim } = scene();
    for (let n = 0; n < 2; n += 1) {
      await stint.enqueueBatch({ namespace, jobs: Array.from({ length: 3 }, () => ({ queue, payload: Buffer.alloc(1_000_000) })) });
    }
    const first = (await claim({ maxJobs: 6 })).jobs.length;
    expect(first).toBeGreaterThanOrEqual(1);
    expect(first).toBeLessThanOrEqual(3);
    expect((await stint.peekQueue({ namespace, queue })).jobs).toHaveLength(6 - first);
  });

  it('lists hundreds of jobs with all their labels over pages that every client takes', async () => {
    const { namespace, queue, stint } = scene();
    const jobs = Array.from({ length: 200 }, () => ({ queue, labels: { a: 'x'.repeat(16_000) } }));
    await stint.enqueueBatch({ namespace, jobs });
    await stint.enqueueBatch({ namespace, jobs });
    let pageToken = '';
    let listed = 0;
    do {
      const page = await stint.listJobs({ namespace, pageSize: 1_000, pageToken });
      listed += page.jobs.length;
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(listed).toBe(400);
  });

  it('tells of hundreds of jobs that were settled at once, in a size that every client takes', async () => {
    const { namespace, queue, stint, claim } = scene();
    const labels = { a: 'x'.repeat(16_000) };
    for (let n = 0; n < 2; n += 1) await stint.enqueueBatch({ namespace, jobs: Array.from({ length: 200 }, () => ({ queue, labels })) });
    const tokens: string[] = [];
    while (tokens.length < 400) tokens.push(...(await claim({ maxJobs: 1_000 })).jobs.map((claimed) => held(claimed).leaseToken));
    const { results } = await stint.settle({
      settlements: tokens.map((leaseToken) => ({ leaseToken, action: { $case: 'ack', ack: {} } })),
    });
    expect(results.map(({ result }) => result?.$case)).toEqual(tokens.map(() => 'ack'));
  });
});
