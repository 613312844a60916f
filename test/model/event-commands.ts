/** Facts that are told of a job: by anybody, or by the one who holds it or did. */
import { expect } from 'vitest';
import { nowOf, type Real, type Via } from './real.ts';
import type { Model, ModelJob } from './model.ts';
import { command, type ModelCommand } from './step.ts';

export interface AppendTold {
  /** Chooses among the jobs, modulo their number. */
  readonly job: number;
  readonly by: 'stranger' | 'holder';
  readonly type: string;
  readonly replayKey: string | null;
}

export function append(via: Via, told: AppendTold): ModelCommand {
  return command(`append ${JSON.stringify(told)}`, { via, check: (model) => model.jobs.length > 0 }, async (model, real) => {
    const job = model.jobs[told.job % model.jobs.length];
    if (job !== undefined) await appendTo(model, real, job, told);
  });
}

async function appendTo(model: Model, real: Real, job: ModelJob, { by, type, replayKey }: AppendTold): Promise<void> {
  const token = by === 'holder' ? (job.leases.at(-1)?.token ?? null) : null;
  const fact = { customType: type, data: Buffer.from('some "data"'), contentType: 'text/plain' };
  const { jobId } = job;
  const holder = token === null ? null : { token };
  const { namespace } = real;
  const answer = await real.engine.events.appendEvent({
    namespace,
    jobId,
    holder,
    type,
    data: fact.data,
    contentType: fact.contentType,
    replayKey,
  });
  const key = `${jobId} ${replayKey}`;
  const former = replayKey === null ? undefined : model.facts.get(key);
  if (former !== undefined && former.asked === type) return expect(answer).toEqual(former.answer);
  if (former !== undefined) return expect(answer).toMatchObject({ ok: false, refusal: { kind: 'invalid_field' } });
  const decision = model.apply(job, { action: 'append_event', fence: token?.fence ?? null, told: fact }, nowOf(real));
  if (decision.kind === 'refused') return expect(answer).toMatchObject({ ok: false, refusal: { kind: decision.why } });
  expect(answer).toMatchObject({
    ok: true,
    value: { sequence: decision.job.sequence, state: decision.job.state, life: decision.job.life },
  });
  if (replayKey !== null) model.facts.set(key, { asked: type, answer });
}
