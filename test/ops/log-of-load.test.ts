import { Metadata, status as Code, type ServiceError } from '@grpc/grpc-js';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { GetJobRequest } from '../../gen/stint/v1/job_service.ts';
import { createLogger } from '../../src/ops/logging.ts';
import { codeOf, connect, held, type Stint, seconds } from '../contract/stint.ts';
import { startService, type TestService } from '../support/service.ts';

/** Stands wherever a client may put something of its own that is nobody else's business. */
const SECRET = 'sesame';
const secret = Buffer.from(SECRET);

const lines: string[] = [];
let service: TestService;
let stint: Stint;
beforeAll(async () => {
  service = await startService({ logger: createLogger({ level: 'trace', destination: { write: (line) => void lines.push(line) } }) });
  stint = connect(service.address);
});
afterAll(async () => {
  stint.close();
  await service.stop();
});
beforeEach(() => void lines.splice(0));

const told = () => lines.map((line) => JSON.parse(line) as Record<string, unknown>);

it('a refused call leaves one line, by the name that the client gave it, and the client hears that name', async () => {
  const metadata = new Metadata();
  metadata.set('x-request-id', 'order-7');
  const error = await new Promise<ServiceError | null>((resolve) => {
    stint.raw.jobs.getJob(GetJobRequest.fromPartial({ jobId: '01990000-0000-7000-8000-000000000000' }), metadata, resolve);
  });
  expect(error?.metadata.get('x-request-id')).toEqual(['order-7']);
  expect(told()).toMatchObject([
    {
      ...{ level: 'info', msg: 'a call was refused', method: '/stint.v1.JobService/GetJob', code: 'NOT_FOUND', reason: 'JOB_NOT_FOUND' },
      ...{ requestId: 'order-7', peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/) },
    },
  ]);
});

it('a call that succeeds leaves none', async () => {
  await stint.enqueue({ job: { queue: 'quiet' } });
  expect(told()).toEqual([]);
});

it('nothing that a client sent is in the log, whatever it is refused for', async () => {
  const job = { queue: 'q', payload: secret, headers: { h: SECRET }, labels: { l: SECRET }, idempotencyKey: SECRET };
  await stint.enqueue({ job });
  const [claimed] = (await stint.claim({ workerId: SECRET, queues: ['q'], leaseDuration: seconds(30) })).jobs.map(held);
  const leaseToken = claimed?.leaseToken ?? expect.unreachable();
  await stint.fail({ leaseToken, failure: { code: SECRET, message: SECRET, details: SECRET } });
  lines.splice(0);
  const refused = [
    stint.enqueue({ job: { ...job, type: 'other', onDuplicate: 2 } }),
    stint.enqueue({ job: { ...job, queue: `not a queue ${SECRET}` } }),
    stint.enqueue({ job: { ...job, jobId: SECRET } }),
    stint.enqueue({ job: { ...job, headers: { [`${SECRET}\n`]: SECRET } } }),
    stint.getJob({ jobId: SECRET }),
    stint.ack({ leaseToken, result: secret }),
    stint.ack({ leaseToken: SECRET, result: secret }),
    stint.heartbeat({ leases: [{ leaseToken: SECRET, checkpoint: secret }] }),
    stint.listJobs({ pageToken: SECRET }),
    stint.claim({ workerId: SECRET, queues: [`${SECRET} ${SECRET}`] }),
    stint.getQueueStats({ queue: SECRET }),
  ].map((call) => codeOf(call.then(() => Promise.reject(new Error('accepted')))).catch((error: unknown) => String(error)));
  expect((await Promise.all(refused)).filter((code) => code.includes('accepted')).length).toBeLessThanOrEqual(2);
  await service.database.sql`alter table stint.idem rename to somewhere_else`;
  expect(await codeOf(stint.enqueue({ job: { ...job, idempotencyKey: `${SECRET}2` } }))).toBe(Code[Code.INTERNAL]);
  await service.database.sql`alter table stint.somewhere_else rename to idem`;
  const all = lines.join('');
  expect(told().length).toBeGreaterThan(8);
  expect(told().at(-1)).toMatchObject({ level: 'error', msg: 'a call failed', reason: 'INTERNAL', err: { cause: { code: '42P01' } } });
  expect(all).not.toContain(SECRET);
  expect(all).not.toContain(leaseToken);
  expect(all).not.toContain(secret.toString('base64'));
});

it('a client that asks in vain without end leaves some lines', async () => {
  for (let n = 0; n < 50; n += 1) await codeOf(stint.getJob({ jobId: '01990000-0000-7000-8000-000000000001' }));
  expect(lines.length).toBeLessThanOrEqual(10);
});
