/** The ends a worker can give its try: ack, fail, release, suspend; alone, or many in one call. */
import { RefusalError, type Refusal, type Result } from '../../domain/error.ts';
import type { LeaseToken } from '../../domain/lease.ts';
import type { Ack, Acked, Fail, Failed, Release, Released, Settled, Settlement, Suspend } from './words.ts';
import type { GroupCommit } from '../group-commit.ts';
import type { AckItem, FailItem, FailOutcome, NotStarted, ReleaseItem, SettleOutcome, SuspendItem } from '../ports/repository.ts';

export interface SettleParts {
  readonly acks: GroupCommit<AckItem, SettleOutcome>;
  readonly fails: GroupCommit<FailItem, FailOutcome>;
  readonly releases: GroupCommit<ReleaseItem, SettleOutcome>;
  readonly suspends: GroupCommit<SuspendItem, SettleOutcome>;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

const LEASE_LOST: { readonly ok: false; readonly refusal: Refusal } = { ok: false, refusal: { kind: 'lease_lost' } };
const NOT_HELD: Result<Released> = { ok: true, value: { job: null, outcome: 'NOT_HELD' } };

export async function ack(parts: SettleParts, command: Ack): Promise<Result<Acked>> {
  return only(await ackAll(parts, [command]));
}

export async function fail(parts: SettleParts, command: Fail): Promise<Result<Failed>> {
  return only(await failAll(parts, [command]));
}

export async function release(parts: SettleParts, command: Release): Promise<Result<Released>> {
  return only(await releaseAll(parts, [command]));
}

export async function suspend(parts: SettleParts, command: Suspend): Promise<Result<Acked>> {
  return only(await suspendAll(parts, [command]));
}

/** Positional; settlements of one kind are committed together, and none decides over another. */
export async function settle(parts: SettleParts, settlements: readonly Settlement[]): Promise<readonly Settled[]> {
  const of = <Kind extends Settlement['kind']>(kind: Kind) =>
    settlements.filter((one): one is Extract<Settlement, { readonly kind: Kind }> => one.kind === kind);
  const [acks, fails, releases, suspends] = await Promise.all([
    atTheirPlace(of('ack'), (commands) => ackAll(parts, commands)),
    atTheirPlace(of('fail'), (commands) => failAll(parts, commands)),
    atTheirPlace(of('release'), (commands) => releaseAll(parts, commands)),
    atTheirPlace(of('suspend'), (commands) => suspendAll(parts, commands)),
  ]);
  return settlements.map((settlement): Settled => {
    switch (settlement.kind) {
      case 'ack':
        return settled('ack', next(acks));
      case 'fail':
        return settled('fail', next(fails));
      case 'release':
        return settled('release', next(releases));
      case 'suspend':
        return settled('suspend', next(suspends));
      case 'refused':
        return settlement;
    }
  });
}

function ackAll({ acks }: SettleParts, commands: readonly Ack[]): Promise<readonly Result<Acked>[]> {
  return eachHeld(commands, { lost: LEASE_LOST, submit: (held) => acks.submitMany(held), answer: (outcome) => acked(outcome, 'ack') });
}

function suspendAll({ suspends }: SettleParts, commands: readonly Suspend[]): Promise<readonly Result<Acked>[]> {
  return eachHeld(commands, {
    lost: LEASE_LOST,
    submit: (held) => suspends.submitMany(held),
    answer: (outcome) => acked(outcome, 'suspend'),
  });
}

function acked(outcome: SettleOutcome, action: string): Result<Acked> {
  if (outcome.kind === 'lease_lost') return LEASE_LOST;
  if (outcome.kind === 'not_started') return refuseUnstarted(outcome, action);
  return { ok: true, value: { job: outcome.job, outcome: applied(outcome.kind) } };
}

function failAll({ fails, random }: SettleParts, commands: readonly Fail[]): Promise<readonly Result<Failed>[]> {
  return eachHeld(commands, {
    lost: LEASE_LOST,
    submit: (held) => fails.submitMany(held.map((command) => ({ ...command, jitterFactor: 0.5 + random() / 2 }))),
    answer: (outcome) => {
      if (outcome.kind === 'lease_lost') return LEASE_LOST;
      if (outcome.kind === 'not_started') return refuseUnstarted(outcome, 'fail');
      return { ok: true, value: { job: outcome.job, outcome: applied(outcome.kind), decision: outcome.decision } };
    },
  });
}

/** Not to hold the lease any more is no error here: the job is not the worker's, as it wished. */
function releaseAll({ releases }: SettleParts, commands: readonly Release[]): Promise<readonly Result<Released>[]> {
  return eachHeld(commands, {
    lost: NOT_HELD,
    submit: (held) => releases.submitMany(held),
    answer: (outcome) => ('job' in outcome ? { ok: true, value: { job: outcome.job, outcome: applied(outcome.kind) } } : NOT_HELD),
  });
}

/** Those with a token that can be one go down together; the others have lost their lease. Positional. */
async function eachHeld<Command extends { readonly token: LeaseToken | null }, Outcome, Answer>(
  commands: readonly Command[],
  how: {
    readonly lost: Answer;
    readonly submit: (held: readonly (Command & { readonly token: LeaseToken })[]) => Promise<readonly Outcome[]>;
    readonly answer: (outcome: Outcome) => Answer;
  },
): Promise<readonly Answer[]> {
  const held = commands.flatMap((command) => (command.token === null ? [] : [{ ...command, token: command.token }]));
  const outcomes = (held.length === 0 ? [] : await how.submit(held)).values();
  return commands.map(({ token }) => (token === null ? how.lost : how.answer(next(outcomes))));
}

/** A lane that is full refuses its own items; those of the other lanes are answered all the same. */
async function atTheirPlace<Command, Value>(
  commands: readonly Command[],
  run: (commands: readonly Command[]) => Promise<readonly Result<Value>[]>,
): Promise<Iterator<Result<Value>>> {
  if (commands.length === 0) return [].values();
  try {
    return (await run(commands)).values();
  } catch (error) {
    if (!(error instanceof RefusalError)) throw error;
    const { refusal } = error;
    return commands.map((): Result<Value> => ({ ok: false, refusal })).values();
  }
}

function settled<Kind extends 'ack' | 'fail' | 'release' | 'suspend', Value>(kind: Kind, result: Result<Value>) {
  return result.ok ? { kind, ...result.value } : { kind: 'refused' as const, refusal: result.refusal };
}

function refuseUnstarted({ jobId }: NotStarted, action: string): { readonly ok: false; readonly refusal: Refusal } {
  return { ok: false, refusal: { kind: 'invalid_transition', jobId, state: 'LEASED', action } };
}

function applied(kind: 'applied' | 'already_applied'): 'APPLIED' | 'ALREADY_APPLIED' {
  return kind === 'applied' ? 'APPLIED' : 'ALREADY_APPLIED';
}

function only<Value>([value]: readonly Value[]): Value {
  if (value === undefined) throw new Error('a settlement has no answer');
  return value;
}

function next<Value>(values: Iterator<Value>): Value {
  const { value, done } = values.next();
  if (done === true) throw new Error('fewer answers than settlements');
  return value;
}
