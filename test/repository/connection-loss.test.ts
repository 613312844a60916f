import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { StoreError } from '../../src/engine/ports/store-error.ts';
import { Database } from '../../src/repository/database.ts';
import { statement } from '../../src/repository/statement.ts';
import { PATIENT, Stage, tokenOf } from '../engine/stage.ts';

describe('a backend that is ended while it runs a statement', () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await Stage.open();
  });
  afterAll(() => stage.close());

  it('is told as unavailability, not as a defect; the same call succeeds when it is made again', async () => {
    const patient = await stage.another({ settings: PATIENT });
    const held = await stage.held(await stage.queue());
    const stranger = await stage.stranger((sql) => sql`select 1 from stint.lease where job = ${held.job.jobId} for update`);
    const acks = [{ token: tokenOf(held), result: new Uint8Array(), contentType: '' }];
    const first = expect(patient.ackMany(acks)).rejects.toMatchObject({ kind: 'unavailable' });
    await stage.waitingForLocks(1);
    await stage.sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
    await first;
    await stranger.rollback();
    expect(await patient.ackMany(acks)).toMatchObject([{ kind: 'applied', job: { state: 'SUCCEEDED' } }]);
  });
});

/** Short: the driver sends it a turn later, from a callback of its own. */
const one = statement<never>('one', sql`select 1 as one`);

describe('a backend that is ended within a transaction', () => {
  let stage: Stage;
  let database: Database;
  beforeAll(async () => {
    stage = await Stage.open();
    database = new Database({ url: stage.database.url, connections: 1, applicationName: 'lost', settings: 'plain' });
    return async () => {
      await database.close();
      await stage.close();
    };
  });

  const endBackend = async () => {
    await stage.sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'lost' and datname = current_database()`;
    for (let left = 1; left > 0;) {
      left = (await stage.sql`select 1 from pg_stat_activity where application_name = 'lost' and datname = current_database()`).length;
    }
    // What the server said is read in this turn of the event loop at the latest.
    await new Promise((resolve) => setTimeout(resolve, 20));
  };

  // What nobody waits for fails the run, as it would end the service.
  it('between two statements is told as unavailability; nothing more is sent, and the next one finds another connection', async () => {
    for (let round = 0; round < 5; round += 1) {
      const lost = database.transaction(async (run) => {
        await run(one, {});
        await endBackend();
        await run(one, {});
      });
      await expect(lost).rejects.toMatchObject({ kind: 'unavailable' });
      expect(await database.transaction((run) => run(one, {}))).toEqual([{ one: 1 }]);
    }
  });

  it('before its work fails is told alike, and nothing more is sent', async () => {
    const lost = database.transaction(async (run) => {
      await run(one, {});
      await endBackend();
      throw new Error('refused');
    });
    await expect(lost).rejects.toMatchObject({ kind: 'unavailable' });
    expect(await database.transaction((run) => run(one, {}))).toEqual([{ one: 1 }]);
  });

  it('at whatever moment, leaves each transaction done or unavailable', async () => {
    const crowd = new Database({ url: stage.database.url, connections: 4, applicationName: 'crowd', settings: 'plain' });
    const kinds = new Set<string>();
    let isOver = false;
    const lane = async () => {
      while (!isOver) {
        await crowd
          .transaction(async (run) => {
            for (let count = 0; count < 3; count += 1) await run(one, {});
          })
          .then(
            () => kinds.add('done'),
            (error: unknown) => kinds.add(error instanceof StoreError ? error.kind : String(error)),
          );
      }
    };
    const lanes = Promise.all(Array.from({ length: 4 }, lane));
    for (let count = 0; count < 300; count += 1) {
      await stage.sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'crowd' and datname = current_database()`;
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 10));
    }
    isOver = true;
    await lanes;
    await crowd.close();
    expect([...kinds].toSorted()).toEqual(['done', 'unavailable']);
  });
});
