import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseJobId, type JobId, type JobSpec } from '../../../src/domain/job.ts';
import type { Result } from '../../../src/domain/error.ts';
import type { RunningEngine } from '../../../src/engine/create-engine.ts';
import type { Repository } from '../../../src/engine/ports/repository.ts';
import { StoreError } from '../../../src/engine/ports/store-error.ts';
import { engineOn } from '../engine-on.ts';
import { jobSpec, Stage } from '../stage.ts';

let stage: Stage;
let namespace: string;
let engine: RunningEngine;
beforeAll(async () => {
  stage = await Stage.open();
});
beforeEach(async () => {
  ({ namespace } = await stage.queue());
  engine = engineOn(stage.repository);
});
afterAll(() => stage.close());

const keyed = (key: string, told: Partial<JobSpec> = {}) => jobSpec({ idempotency: { key, scope: 'RETAINED', ttlMs: null }, ...told });
const batch = (specs: readonly JobSpec[], atomic = false) =>
  engine.jobs.enqueueBatch({ namespace, items: specs.map((value) => ({ ok: true, value })), atomic });
const enqueue = (spec: JobSpec) => engine.jobs.enqueue({ namespace, spec });

function idOf(result: Result<{ readonly job: { readonly jobId: JobId } }>): JobId {
  if (!result.ok) throw new Error(`refused: ${result.refusal.kind}`);
  return result.value.job.jobId;
}

/** An id that a client mints so many milliseconds away from the engine's time. */
function clientId(offsetMs: number): JobId {
  const at = (Date.now() + offsetMs).toString(16).padStart(12, '0');
  const jobId = parseJobId(`${at.slice(0, 8)}-${at.slice(8)}-7000-8000-0123456789ab`);
  if (jobId === null) throw new Error('no job id');
  return jobId;
}

describe('an enqueue', () => {
  it('is deduplicated by its key, where it may be', async () => {
    const first = await enqueue(keyed('k'));
    expect(first).toMatchObject({ ok: true, value: { deduplicated: false } });
    expect(await enqueue(keyed('k'))).toMatchObject({ ok: true, value: { deduplicated: true, job: { jobId: idOf(first) } } });
    const refused = { ok: false, refusal: { kind: 'duplicate_job', jobId: idOf(first) } };
    expect(await enqueue(keyed('k', { onDuplicate: 'REJECT' }))).toEqual(refused);
    expect(await enqueue(keyed('k', { type: 'other' }))).toEqual(refused);
  });

  it('under an id of another namespace is refused without that job', async () => {
    const jobId = idOf(await enqueue(jobSpec()));
    expect(await engine.jobs.enqueue({ namespace: 'other', spec: jobSpec({ jobId }) })).toEqual({
      ok: false,
      refusal: { kind: 'duplicate_job', jobId: null },
    });
  });

  it.each([
    { offsetMs: -86_390_000, ok: true },
    { offsetMs: 86_390_000, ok: true },
    { offsetMs: -86_410_000, ok: false },
    { offsetMs: 86_410_000, ok: false },
  ])('with an id minted $offsetMs ms away is accepted: $ok', async ({ offsetMs, ok }) => {
    const result = await enqueue(jobSpec({ jobId: clientId(offsetMs) }));
    expect(result.ok).toBe(ok);
    if (!result.ok) expect(result.refusal).toMatchObject({ kind: 'invalid_field', violations: [{ field: 'job.job_id' }] });
  });
});

describe('a batch', () => {
  it('answers each item at its place, refusals among them', async () => {
    const standing = idOf(await enqueue(keyed('standing')));
    const refusal = { kind: 'invalid_field', violations: [{ field: 'jobs[1].priority', description: 'no' }] } as const;
    const result = await engine.jobs.enqueueBatch({
      namespace,
      items: [
        { ok: true, value: jobSpec({ type: 'first' }) },
        { ok: false, refusal },
        { ok: true, value: keyed('standing') },
        { ok: true, value: jobSpec({ jobId: clientId(-90_000_000) }) },
        { ok: true, value: jobSpec({ type: 'last', queue: 'another' }) },
      ],
      atomic: false,
    });
    expect(result).toMatchObject({
      ok: true,
      value: [
        { ok: true, value: { deduplicated: false, job: { type: 'first' } } },
        { ok: false, refusal },
        { ok: true, value: { deduplicated: true, job: { jobId: standing } } },
        { ok: false, refusal: { kind: 'invalid_field', violations: [{ field: 'jobs[3].job_id' }] } },
        { ok: true, value: { deduplicated: false, job: { type: 'last', queue: 'another' } } },
      ],
    });
  });

  it('of nothing, or of nothing but refusals, is answered', async () => {
    expect(await batch([])).toEqual({ ok: true, value: [] });
    expect(await batch([], true)).toEqual({ ok: true, value: [] });
  });

  it('of a thousand in one namespace is FIFO', async () => {
    const result = await batch(Array.from({ length: 1_000 }, () => jobSpec()));
    const ids = result.ok ? result.value.map(idOf) : [];
    const peeked = await engine.queues.peekQueue({ namespace, queue: 'q', pageSize: 1_000 });
    expect(peeked.ok && peeked.value.map(({ jobId }) => jobId)).toEqual(ids);
  });
});

describe('an atomic batch', () => {
  it('is refused whole, by its first refusal', async () => {
    const standing = idOf(await enqueue(keyed('standing')));
    const refused = { ok: false, refusal: { kind: 'duplicate_job', jobId: standing } };
    expect(await batch([keyed('a'), keyed('standing', { onDuplicate: 'REJECT' }), keyed('b')], true)).toEqual(refused);
    expect(await engine.queues.peekQueue({ namespace, queue: 'q', pageSize: 10 })).toMatchObject({ value: [{ jobId: standing }] });
    expect(await batch([keyed('a'), keyed('b')], true)).toMatchObject({
      value: [{ value: { deduplicated: false } }, { value: { deduplicated: false } }],
    });
  });

  it('takes a duplicate of the same content for an answer', async () => {
    const standing = idOf(await enqueue(keyed('standing')));
    expect(await batch([keyed('a'), keyed('standing')], true)).toMatchObject({
      ok: true,
      value: [{ value: { deduplicated: false } }, { value: { deduplicated: true, job: { jobId: standing } } }],
    });
  });

  const failing = (kind: 'conflict' | 'contended' | 'unavailable', times: number) => {
    let tries = 0;
    const repository: Repository = {
      ...stage.repository,
      enqueueAtomic: async (items, refuse) => {
        tries += 1;
        if (tries <= times) throw new StoreError(kind, 'no');
        return stage.repository.enqueueAtomic(items, refuse);
      },
    };
    engine = engineOn(repository);
    return () => tries;
  };

  it.each(['conflict', 'contended'] as const)('that met a %s is run again, so often and no more', async (kind) => {
    failing(kind, 9);
    expect(await batch([jobSpec()], true)).toMatchObject({ ok: true });
    const tries = failing(kind, 99);
    await expect(batch([jobSpec()], true)).rejects.toMatchObject({ kind });
    expect(tries()).toBeLessThan(25);
  });

  it('whose end nobody knows is not run again', async () => {
    const tries = failing('unavailable', 1);
    await expect(batch([jobSpec()], true)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(tries()).toBe(1);
  });
});
