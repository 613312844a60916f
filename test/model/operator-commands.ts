/** What others than the holder do to a job, each also under a request id that was used before. */
import { expect } from 'vitest';
import type { Result } from '../../src/domain/error.ts';
import type { EventDetail, Evidence, JobChange } from '../../src/domain/event.ts';
import { isTerminal, type JobState } from '../../src/domain/job.ts';
import type { Decision, OperatorCommand } from '../../src/domain/token-state.ts';
import type { Done, Operate } from '../../src/engine/engine.ts';
import type { CompleteItem } from '../../src/engine/ports/repository.ts';
import { failureOf } from './commands.ts';
import { expectCurrent } from './compare.ts';
import type { Model, ModelJob } from './model.ts';
import { nowOf, type Real, type Via } from './real.ts';
import { command, type ModelCommand } from './step.ts';

/** A job the model knows of: with `apt` only among those that the command is meant for, where there are any. */
export interface JobPick {
  readonly job: number;
  readonly apt: boolean;
  readonly requestId: string | null;
}

interface Operating {
  readonly action: OperatorCommand['action'];
  readonly told: unknown;
  readonly isApt: (job: ModelJob) => boolean;
  /** What the domain is told to do; null: the service is to do nothing, for it was done before. */
  readonly command: (now: number, job: ModelJob) => OperatorCommand | null;
  readonly send: (real: Real, base: Operate, now: number) => Promise<Result<Done<string>>>;
  readonly outcome: (before: JobState, after: JobState, told: readonly EventDetail[]) => string;
  /** Refuses it for another reason than the job's state. */
  readonly refusal?: (model: Model, job: ModelJob) => unknown;
}

function operate(via: Via, pick: JobPick, how: Operating): ModelCommand {
  const name = `${how.action} ${JSON.stringify(how.told)} ${JSON.stringify(pick)}`;
  return command(name, { via, check: (model) => model.jobs.length > 0 }, async (model, real) => {
    const job = pickJob(model, pick, how);
    const asked = JSON.stringify([job.jobId, how.told]);
    const request = pick.requestId === null ? null : { requestId: pick.requestId, digest: Buffer.from(asked) };
    const result = await how.send(real, { namespace: real.namespace, jobId: job.jobId, request }, nowOf(real));
    const key = `${how.action} ${pick.requestId}`;
    const former = model.requests.get(key);
    if (former === undefined) await compareFresh(model, real, { job, result, how });
    else if (former.asked === asked) expect(result).toEqual(former.answer);
    else expect(result).toMatchObject({ ok: false, refusal: { kind: 'invalid_field' } });
    if (request !== null && former === undefined && result.ok) model.requests.set(key, { asked, answer: result });
  });
}

async function compareFresh(
  model: Model,
  real: Real,
  { job, result, how }: { readonly job: ModelJob; readonly result: Result<Done<string>>; readonly how: Operating },
): Promise<void> {
  const refusal = how.refusal?.(model, job);
  if (refusal !== undefined) return expect(result).toEqual({ ok: false, refusal });
  const before = job.token.state;
  const told = how.command(nowOf(real), job);
  const decision: Decision = told === null ? { kind: 'applied', job: job.token, events: [] } : model.operate(job, told, nowOf(real));
  const after = job.token.state;
  if (decision.kind === 'refused') {
    expect(result).toEqual({ ok: false, refusal: { kind: 'invalid_transition', jobId: job.jobId, state: after, action: how.action } });
  } else {
    expect(result).toMatchObject({ ok: true, value: { outcome: how.outcome(before, after, decision.events) } });
  }
  if (result.ok) await expectCurrent(real, result.value.job);
}

function pickJob(model: Model, pick: JobPick, { isApt }: Operating): ModelJob {
  const apt = model.jobs.filter(isApt);
  const among = pick.apt && apt.length > 0 ? apt : model.jobs;
  const job = among[pick.job % among.length];
  if (job === undefined) throw new Error('there is no job');
  return job;
}

const changed = () => 'CHANGED';
const isHeld = (state: JobState) => state === 'LEASED' || state === 'RUNNING';
const isIn =
  (...states: readonly JobState[]) =>
  (job: ModelJob) =>
    states.includes(job.token.state);

export function cancel(via: Via, pick: JobPick, reason: string): ModelCommand {
  return operate(via, pick, {
    action: 'cancel',
    told: reason,
    isApt: isIn('LEASED', 'RUNNING', 'SUSPENDED'),
    command: () => ({ action: 'cancel', reason }),
    send: ({ engine }, base) => engine.jobs.cancelJob({ ...base, reason }),
    outcome: (before, after, told) => {
      if (!isTerminal(after)) return 'CANCEL_REQUESTED';
      // What ended a lease that nobody had swept is no doing of this command, nor is a timeout.
      const own = isHeld(before) ? told.slice(1) : told;
      return own.some(({ type }) => type === 'cancelled') ? 'CANCELLED' : 'ALREADY_TERMINAL';
    },
  });
}

export interface UpdateTold {
  readonly priority?: number;
  /** Null: at once. */
  readonly runInMs?: number | null;
}

export function update(via: Via, pick: JobPick, told: UpdateTold): ModelCommand {
  const changeAt = (now: number): JobChange => ({
    ...(told.priority === undefined ? {} : { priority: told.priority }),
    ...(told.runInMs === undefined ? {} : { runAt: told.runInMs === null ? null : now + told.runInMs * 1_000 }),
  });
  return operate(via, pick, {
    action: 'update',
    told,
    isApt: isIn('READY', 'SCHEDULED', 'RETRY_WAIT', 'SUSPENDED'),
    command: (now) => ({ action: 'update', change: changeAt(now) }),
    send: ({ engine }, base, now) => engine.jobs.updateJob({ ...base, change: changeAt(now) }),
    outcome: changed,
  });
}

export function retry(via: Via, pick: JobPick, reason: string): ModelCommand {
  return operate(via, pick, {
    action: 'retry',
    told: reason,
    isApt: isIn('FAILED', 'CANCELLED'),
    command: () => ({ action: 'retry', reason }),
    send: ({ engine }, base) => engine.jobs.retryJob({ ...base, reason }),
    outcome: changed,
    refusal: (model, job) => {
      const rival = model.rivalOf(job);
      return rival !== null && isIn('FAILED', 'CANCELLED')(job) ? { kind: 'duplicate_job', jobId: rival.jobId } : undefined;
    },
  });
}

export function resume(via: Via, pick: JobPick, reason: string): ModelCommand {
  return operate(via, pick, {
    action: 'resume',
    told: reason,
    isApt: isIn('SUSPENDED'),
    command: () => ({ action: 'resume', reason }),
    send: ({ engine }, base) => engine.jobs.resumeJob({ ...base, reason }),
    outcome: changed,
  });
}

export function requestAbandon(via: Via, pick: JobPick, reason: string): ModelCommand {
  return operate(via, pick, {
    action: 'request_abandon',
    told: reason,
    isApt: isIn('LEASED', 'RUNNING'),
    command: () => ({ action: 'request_abandon', reason }),
    send: ({ engine }, base) => engine.jobs.requestAbandon({ ...base, reason }),
    outcome: (_before, after, told) => {
      if (!isTerminal(after)) return 'ABANDON_REQUESTED';
      return told.length > 1 && after === 'ABANDONED' ? 'ABANDONED' : 'ALREADY_TERMINAL';
    },
  });
}

export interface CompleteTold {
  readonly end: 'success' | 'failure' | 'cancellation';
  readonly authority: string;
}

export function completeExternally(via: Via, pick: JobPick, told: CompleteTold): ModelCommand {
  const evidence: Evidence = { authority: told.authority, data: Buffer.from('proof'), contentType: 'text/plain' };
  const [completion, end] = completionOf(told.end);
  return operate(via, pick, {
    action: 'complete_externally',
    told,
    isApt: (job) => job.token.rules.disposition === 'EXTERNALLY_OWNED',
    command: (_now, job) => (isSameEnd(job, { end, evidence }) ? null : { action: 'complete_externally', evidence, end }),
    send: ({ engine }, base) => engine.jobs.completeExternally({ ...base, completion, evidence }),
    outcome: changed,
  });
}

type End = Extract<OperatorCommand, { readonly action: 'complete_externally' }>['end'];

function completionOf(end: CompleteTold['end']): [CompleteItem['completion'], End] {
  const failure = failureOf('elsewhere', 'RETRYABLE');
  switch (end) {
    case 'success':
      return [{ kind: 'success', result: Buffer.from('made elsewhere'), contentType: 'text/plain' }, { state: 'SUCCEEDED' }];
    case 'failure':
      return [
        { kind: 'failure', failure },
        { state: 'FAILED', failure },
      ];
    case 'cancellation':
      return [
        { kind: 'cancellation', reason: 'elsewhere' },
        { state: 'CANCELLED', reason: 'elsewhere' },
      ];
  }
}

/** Its life ended just so, by the word of the same authority. */
function isSameEnd({ token, events }: ModelJob, { end, evidence }: { readonly end: End; readonly evidence: Evidence }): boolean {
  const detail = events.at(-1)?.detail;
  return token.state === end.state && detail !== undefined && 'evidence' in detail && detail.evidence?.authority === evidence.authority;
}
