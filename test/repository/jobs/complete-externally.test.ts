import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CompleteItem } from '../../../src/engine/ports/repository.ts';
import { PATIENT, Stage } from '../../engine/stage.ts';

describe('an external completion', () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await Stage.open();
  });
  afterAll(() => stage.close());

  it('ends the present life, also where a former one ended just so and the job moves meanwhile', async () => {
    const queue = await stage.queue();
    const [jobId] = await stage.enqueue(queue, { disposition: 'EXTERNALLY_OWNED' });
    if (jobId === undefined) throw new Error('no job');
    const told = { namespace: queue.namespace, jobId, request: null };
    const cancelled: CompleteItem = {
      ...told,
      completion: { kind: 'cancellation', reason: 'elsewhere' },
      evidence: { authority: 'court', data: Buffer.alloc(0), contentType: '' },
    };
    expect(await stage.repository.completeMany([cancelled])).toMatchObject([{ kind: 'applied', job: { state: 'CANCELLED', life: 1 } }]);
    expect(await stage.repository.retryMany([{ ...told, reason: '' }])).toMatchObject([
      { kind: 'applied', job: { state: 'READY', life: 2 } },
    ]);
    const patient = await stage.another({ settings: PATIENT });
    const mover = await stage.stranger(
      (sql) => sql`
        with gone as (delete from stint.parked where job = ${jobId} returning *)
        insert into stint.deferred (shard, job, due_at, kind, queue_id, rank, attempt, fence, life, seq, releases, size, checkpointed)
        select shard, job, now() + interval '1 day', 3, queue_id, rank, attempt, fence, life, seq, releases, size, checkpointed from gone`,
    );
    const completed = patient.completeMany([cancelled]);
    await stage.waitingForLocks(1);
    await mover.commit();
    expect(await completed).toMatchObject([{ kind: 'applied', job: { state: 'CANCELLED', life: 2 } }]);
  });
});
