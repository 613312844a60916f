import { describe, expect, it } from 'vitest';
import { FROM_NOW, keyOf } from './follower.ts';
import { useScene } from './scene.ts';
import { enqueue } from './work.ts';

const scene = useScene();

describe('when rings are lost', () => {
  it('events of another replica come all the same', async () => {
    const here = await scene.replica({ deaf: true });
    const there = await scene.replica();
    const namespace = scene.namespace();
    const follower = scene.follow(here.engine, namespace, { start: FROM_NOW });
    await follower.next();
    const jobId = await enqueue(there.engine, namespace);
    expect((await follower.untilJob(jobId)).keys).toEqual([keyOf({ jobId, sequence: 1 })]);
  });

  it('because the listening connections were ended, nothing is missed', async () => {
    const [here, there] = [await scene.replica(), await scene.replica()];
    const namespace = scene.namespace();
    const follower = scene.follow(here.engine, namespace, { start: FROM_NOW });
    await follower.next();
    const ended = await scene.database.sql`
      select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'stint listen'`;
    expect(ended).toHaveLength(2);
    const jobIds = [await enqueue(there.engine, namespace), await enqueue(here.engine, namespace)];
    expect((await follower.untilCount(2)).keys).toEqual(jobIds.map((jobId) => keyOf({ jobId, sequence: 1 })));
  });
});
