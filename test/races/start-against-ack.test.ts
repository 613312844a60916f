import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClaimedJob } from '../../src/engine/ports/repository.ts';
import { Database, type Run } from '../../src/repository/database.ts';
import { ackMany } from '../../src/repository/workers/ack.ts';
import { parseLeaseToken } from '../../src/domain/lease.ts';
import { Stage } from '../engine/stage.ts';

describe('an ack that is sent while the start commits', () => {
  let stage: Stage;
  let database: Database;
  beforeAll(async () => {
    stage = await Stage.open();
    database = new Database({ url: stage.database.url, connections: 1, applicationName: 'a racing ack', settings: 'hot' });
  });
  afterAll(async () => {
    await database.close();
    await stage.close();
  });

  it('is not told that its lease is lost: the job ends', async () => {
    const queue = await stage.queue();
    const token = tokenOf(await stage.held(queue, { claim: { startOnClaim: false } }));
    /** The start commits after the ack has looked for a started lease, and before it looks what became of it. */
    const run: Run = async (statement, values) => {
      if (statement.name === 'settled') await stage.repository.startMany([{ token }]);
      return database.run(statement, values);
    };
    const now = stage.clock.now().toISOString();
    const outcomes = await ackMany(run, now, [{ token, result: Buffer.from('done'), contentType: '' }]);
    expect(outcomes).toMatchObject([{ kind: 'applied', job: { state: 'SUCCEEDED' } }]);
  });
});

function tokenOf({ lease }: ClaimedJob) {
  const token = parseLeaseToken(lease.leaseToken);
  if (token === null) throw new Error('no token');
  return token;
}
