/** Commits that are refused at their very end, when every statement of theirs has succeeded, as by a full disk. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Queue } from '../../src/domain/queue.ts';
import type { RunningEngine } from '../../src/engine/create-engine.ts';
import { engineOn } from '../engine/engine-on.ts';
import { slot, Stage, tokenOf } from '../engine/stage.ts';
import { ack, enqueue, enqueueTogether } from '../feed/work.ts';

let stage: Stage;
let queue: Queue;
let engine: RunningEngine;
beforeAll(async () => {
  stage = await Stage.open();
  engine = engineOn(stage.repository);
  await stage.sql.unsafe(`create function refuse() returns trigger language plpgsql as
    $$ begin raise exception 'no space left on device' using errcode = '53100'; end $$`);
});
beforeEach(async () => {
  queue = await stage.queue();
});
afterAll(() => stage.close());

/** From here on no transaction that did this in the queue can commit. */
async function refuseCommits(what: string): Promise<void> {
  const row = what.startsWith('delete') ? 'old' : 'new';
  await stage.sql.unsafe(`create constraint trigger refuse_${queue.id} after ${what} deferrable initially deferred
    for each row when (${row}.queue_id = ${queue.id}) execute function refuse()`);
}

const NOT_COMMITTED = { kind: 'unavailable' };
const jobs = () => stage.sql`select id from stint.job where queue_id = ${queue.id}`;

describe('what could not be committed', () => {
  it('is not answered as enqueued, and is not there', async () => {
    await refuseCommits('insert on stint.ready');
    await expect(enqueue(engine, queue.namespace)).rejects.toMatchObject(NOT_COMMITTED);
    expect(await jobs()).toHaveLength(0);
  });

  it('is not answered as enqueued together, and is not there', async () => {
    await refuseCommits('insert on stint.ready');
    await expect(enqueueTogether(engine, queue.namespace, 3)).rejects.toMatchObject(NOT_COMMITTED);
    expect(await jobs()).toHaveLength(0);
  });

  it('is not answered as claimed, and is READY', async () => {
    const [jobId] = await stage.enqueue(queue, {});
    await refuseCommits('insert on stint.lease');
    await expect(stage.repository.claim([queue], [slot()])).rejects.toMatchObject(NOT_COMMITTED);
    expect(await stage.job(jobId ?? stage.mint.mint())).toMatchObject({ state: 'READY', attempt: 0 });
  });

  it('is not answered as acked, and is still held', async () => {
    const held = await stage.held(queue);
    await refuseCommits('delete on stint.lease');
    await expect(ack(engine, tokenOf(held))).rejects.toMatchObject(NOT_COMMITTED);
    expect(await stage.job(held.job.jobId)).toEqual(held.job);
  });
});
