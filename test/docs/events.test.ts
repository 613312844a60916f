/** The page on events: its lines run as they stand. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, type ClientReadableStream, credentials, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, type Stint } from '../contract/stint.ts';
import { projectRoot } from '../house/source.ts';
import { startService, type TestService } from '../support/service.ts';
import { methodOf, requestOf, type RpcLine, rpcLines } from './rpc-lines.ts';

const CALL_DEADLINE_MS = 15_000;
const page = readFileSync(join(projectRoot, 'docs/events.md'), 'utf8');
const lines = [...page.matchAll(/```sh\n([^`]+)```/g)].flatMap((match) => rpcLines(match[1] ?? ''));

describe('docs/events.md', () => {
  let service: TestService;
  let client: Client;
  let stint: Stint;
  let jobId: string;
  beforeAll(async () => {
    service = await startService();
    client = new Client(service.address, credentials.createInsecure());
    stint = connect(service.address);
    const { job } = await stint.enqueue({ job: { queue: 'mail' } });
    jobId = job?.jobId ?? '';
    const { jobs } = await stint.claim({ workerId: 'w', queues: ['mail'] });
    await stint.ack({ leaseToken: jobs[0]?.lease?.leaseToken ?? '' });
  });
  afterAll(async () => {
    client.close();
    stint.close();
    await service.stop();
  });

  /** The first message with events. */
  const answerTo = (line: RpcLine) =>
    new Promise<unknown>((resolve, reject) => {
      const { path, requestSerialize, responseDeserialize } = methodOf(line) ?? expect.unreachable();
      const stream: ClientReadableStream<object> = client.makeServerStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        requestOf({ ...line, json: line.json.replace('JOB', jobId) }),
        { deadline: Date.now() + CALL_DEADLINE_MS },
      );
      stream.on('error', (error) => ('code' in error && error.code === status.CANCELLED ? undefined : reject(error)));
      stream.on('data', (answer: object) => {
        if (!('events' in answer)) return;
        resolve(answer);
        stream.cancel();
      });
    });

  it('has lines that run', async () => {
    const told = [];
    for (const line of lines) told.push(await answerTo(line));
    const types = (...wanted: string[]) => ({ events: wanted.map((type) => ({ type })) });
    const whole = ['enqueued', 'claimed', 'started', 'succeeded'];
    expect(told).toMatchObject([types(...whole), types('succeeded'), types(...whole), types(...whole.slice(1))]);
  });
});
