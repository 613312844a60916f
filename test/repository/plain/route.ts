/** The hot path with its lesser statements and without, and the names of the statements that ran. */
import { afterAll, beforeAll, beforeEach } from 'vitest';
import type { Queue } from '../../../src/domain/queue.ts';
import type { AckItem, ClaimedJob, ClaimSlot, EnqueueItem } from '../../../src/engine/ports/repository.ts';
import { Database, type Run } from '../../../src/repository/database.ts';
import { InVain } from '../../../src/repository/in-vain.ts';
import { enqueueMany } from '../../../src/repository/jobs/enqueue-many.ts';
import { KnownRecords } from '../../../src/repository/known-records.ts';
import { ackMany } from '../../../src/repository/workers/ack.ts';
import { claim } from '../../../src/repository/workers/claim.ts';
import { claimer } from '../../../src/repository/workers/claimer.ts';
import { Stage, tokenOf } from '../../engine/stage.ts';

export let stage: Stage;
/** Names of the statements that ran since the test began. */
export const ran: string[] = [];
let database: Database;

/** For the tests of a file. */
export function openRoutes(): void {
  beforeAll(async () => {
    stage = await Stage.open();
    database = new Database({ url: stage.database.url, connections: 1, applicationName: 'plain', settings: 'hot' });
  });
  beforeEach(() => void ran.splice(0));
  afterAll(async () => {
    await database.close();
    await stage.close();
  });
}

export const run: Run = (statement, values) => {
  ran.push(statement.name);
  return database.run(statement, values);
};
export const now = () => stage.clock.now().toISOString();

/** A way to send a job through its life, with or without the lesser statements. */
export function route(lesser: boolean) {
  const records = new KnownRecords();
  const inVain = new InVain<'ack'>();
  return {
    records,
    enqueue: (items: readonly EnqueueItem[]) => enqueueMany(run, now(), items, lesser ? { bounded: new InVain() } : {}),
    claim: async (queue: Queue, ...slots: ClaimSlot[]) =>
      (lesser ? await claimer(run, now, records)([queue], slots) : await claim(run, now(), [queue], slots)).jobs.flat(),
    ack: (...items: AckItem[]) => ackMany(run, now(), items, lesser ? { records, inVain } : undefined),
  };
}

export type Route = ReturnType<typeof route>;

export const ackOf = (claimed: ClaimedJob): AckItem => ({
  token: tokenOf(claimed),
  result: Buffer.from('done'),
  contentType: 'text/plain',
});
