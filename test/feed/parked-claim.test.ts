import { describe, expect, it } from 'vitest';
import type { Store } from '../../src/repository/store.ts';
import { Gate } from '../engine/engine-on.ts';
import { useScene } from './scene.ts';
import { claim, enqueue, runThrough } from './work.ts';

const scene = useScene();

/** Less than the time after which parked claims look again of themselves. */
const WAIT_MS = 3_000;

describe('a parked claim', () => {
  it('gets what another replica commits while its own begins to read the log', async () => {
    const [looked, begin] = [new Gate(), new Gate()];
    const there = await scene.replica();
    const here = await scene.replica({ through: (store) => beginningAt(begin, tellingOf(looked, store)) });
    const namespace = scene.namespace();
    await runThrough(there.engine, namespace);
    const parked = claim(here.engine, namespace, { waitMs: WAIT_MS });
    await looked.opened;
    const jobId = await enqueue(there.engine, namespace);
    begin.open();
    expect((await parked).map((taken) => taken.jobId)).toEqual([jobId]);
  });
});

/** Opens the gate once a claim has looked. */
function tellingOf(looked: Gate, store: Store): Store {
  const claimed: Store['repository']['claim'] = async (queues, slots) => {
    const given = await store.repository.claim(queues, slots);
    looked.open();
    return given;
  };
  return { ...store, repository: { ...store.repository, claim: claimed } };
}

/** Finds the end of the log once the gate is open. */
function beginningAt(begin: Gate, store: Store): Store {
  const head: Store['journal']['head'] = async () => {
    await begin.opened;
    return store.journal.head();
  };
  return { ...store, journal: { ...store.journal, head } };
}
