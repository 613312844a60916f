import { status as Code } from '@grpc/grpc-js';
import { expect, it, onTestFinished } from 'vitest';
import { startApp } from '../../src/app.ts';
import { createLogger } from '../../src/ops/logging.ts';
import { connect } from '../contract/stint.ts';
import { createDatabase } from '../support/database.ts';

it('a call that meets a defect is logged by its name, with the error and nothing that the client sent', async () => {
  const database = await createDatabase();
  const lines: string[] = [];
  const app = await startApp({
    config: { listen: { host: '127.0.0.1', port: 0 } },
    databaseUrl: database.url,
    logger: createLogger({ level: 'error', destination: { write: (line) => void lines.push(line) } }),
  });
  const stint = connect(app.grpcAddress);
  onTestFinished(async () => {
    stint.close();
    await app.stop();
    await database.drop();
  });
  await database.sql`alter table stint.idem rename to somewhere_else`;
  const call = stint.enqueue({ job: { queue: 'q', idempotencyKey: 'sesame', payload: Buffer.from('sesame') } });
  await expect(call).rejects.toMatchObject({ code: Code.INTERNAL });
  expect(lines.map((line): unknown => JSON.parse(line))).toMatchObject([
    { msg: 'a call failed', method: '/stint.v1.JobService/Enqueue', err: { type: 'StoreError', cause: { code: '42P01' } } },
  ]);
  expect(lines.join('')).not.toContain('sesame');
});
