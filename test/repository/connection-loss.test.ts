import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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
