import { randomUUID } from 'node:crypto';
import type { SettlementOp } from '../history/record.ts';
import { claim, heartbeat, type HeldJob, settle, settleAlone } from './lease-calls.ts';
import { type Program, rest, runProgram, untilAllKnown, untilKnown } from './program.ts';

/** Claims at a time; the jobs of a claim do not hold up the next one. */
const LANES = 2;
const MAX_JOBS = 4;
/** What one lane has in hand; the slow ones would else pile up. */
const MAX_BUSY = 12;
const WAIT_MS = 1_000;
const LEASE_MS = 2_000;
/** So long that a worker that is stopped holds something. */
const WORK_MS = 100;
/** Longer than the lease and the grace of a queue: by then the job is another's. */
const TOO_LONG_MS = LEASE_MS + 5_000 + 1_500;

/** What a worker does with a job that it holds. */
type Way = (program: Program, held: HeldJob) => Promise<unknown>;

const alone =
  (op: SettlementOp): Way =>
  (program, held) =>
    untilKnown(() => settleAlone(program, op, held));

/** Claimed on one replica, renewed on others, settled on yet another. */
const withHeartbeats: Way = async (program, held) => {
  for (let beats = 0; beats < 3; beats += 1) {
    await rest(LEASE_MS / 3, program.leaving);
    const { outcome } = await heartbeat(program, held);
    if (outcome === 'refused') return;
  }
  await alone('ack')(program, held);
};

const twice: Way = async (program, held) => {
  await alone('ack')(program, held);
  await alone('ack')(program, held);
};

/** It holds on until the job is another's; what it says then must change nothing. */
const tooLate =
  (op: SettlementOp): Way =>
  async (program, held) => {
    await rest(TOO_LONG_MS, program.leaving);
    await alone(op)(program, held);
  };

const rarely = [tooLate('ack'), tooLate('release'), tooLate('fail')];
const often = [
  alone('ack'),
  alone('ack'),
  alone('fail'),
  alone('ack'),
  withHeartbeats,
  alone('ack'),
  twice,
  alone('release'),
  alone('ack'),
];

/** Takes the ways in turn: every seventieth job goes a rare one. */
class Ways {
  #count = 0;

  next(): Way {
    this.#count += 1;
    const [ways, turn] = this.#count % 70 === 0 ? [rarely, this.#count / 70] : [often, this.#count];
    return ways[turn % ways.length] ?? alone('ack');
  }
}

async function work(program: Program): Promise<void> {
  const ways = new Ways();
  await Promise.all(Array.from({ length: LANES }, () => workLane(program, ways)));
}

/** Claims and works until it is to leave; then it finishes what it holds. */
async function workLane(program: Program, ways: Ways): Promise<void> {
  const busy = new Set<Promise<unknown>>();
  for (let claims = 1; !program.leaving.aborted; claims += 1) {
    const jobs = await claimSome(program);
    // Every third claim is settled by one call.
    const works = claims % 3 === 0 ? [ackTogether(program, jobs)] : jobs.map((job) => workOn(program, job, ways.next()));
    for (const one of works) {
      busy.add(one);
      void one.finally(() => busy.delete(one));
    }
    if (busy.size >= MAX_BUSY) await Promise.race(busy);
  }
  await Promise.all(busy);
}

/** The request id makes a lost answer harmless: the next try is given the same leases. */
async function claimSome(program: Program): Promise<readonly HeldJob[]> {
  const wish = { requestId: randomUUID(), maxJobs: MAX_JOBS, waitMs: WAIT_MS, leaseMs: LEASE_MS };
  const end = await untilKnown(() => claim(program, wish), LEASE_MS);
  return end.outcome === 'ok' ? end.told : [];
}

async function workOn(program: Program, held: HeldJob, way: Way): Promise<void> {
  await rest(WORK_MS, program.leaving);
  await way(program, held);
}

async function ackTogether(program: Program, jobs: readonly HeldJob[]): Promise<void> {
  if (jobs.length > 0)
    await untilAllKnown(() =>
      settle(
        program,
        jobs.map((held) => ({ op: 'ack', held })),
      ),
    );
}

void runProgram(work);
