import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Repository } from '../../../src/engine/ports/repository.ts';
import { engineOn, Gate } from '../engine-on.ts';
import { Stage, tokenOf } from '../stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
});
afterAll(() => stage.close());

it('a replay wakes a claim that waits on the same replica, before the log tells of it', async () => {
  const queue = await stage.queue();
  const held = await stage.held(queue);
  const failure = { code: 'poison', message: '', details: new Uint8Array(), kind: 'TERMINAL' } as const;
  await stage.repository.failMany([{ token: tokenOf(held), failure, retryAfterMs: null, jitterFactor: 1 }]);
  const looked = new Gate();
  const repository: Repository = {
    ...stage.repository,
    claim: async (...asked) => {
      const claimed = await stage.repository.claim(...asked);
      looked.open();
      return claimed;
    },
  };
  const engine = engineOn(repository);
  const { namespace, name } = queue;
  const told = { ...{ namespace, workerId: 'w', queues: [name], maxJobs: 1, waitMs: 5_000 }, leaseDurationMs: null, requestId: null };
  const claiming = engine.workers.claim({ ...told, startOnClaim: true }, new AbortController().signal);
  await looked.opened;
  const chosen = { kind: 'filter', type: null, failureCode: null, pageSize: 100, stretch: null } as const;
  const page = await engine.queues.replayDeadLetters({
    ...{ namespace, queue: name, chosen, reason: '', dryRun: false, request: null },
  });
  expect(page).toMatchObject({ ok: true, value: { results: [{ result: { ok: true } }] } });
  expect(await claiming).toMatchObject({ decision: 'ASSIGNED', jobs: [{ job: { jobId: held.job.jobId, life: 2 } }] });
  await engine.drain();
});
