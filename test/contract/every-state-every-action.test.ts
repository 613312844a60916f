/** What each state allows, and that what it does not allow changes nothing. */
import { describe, expect, it } from 'vitest';
import { AbandonOutcome, CancelOutcome } from '../../gen/stint/v1/job_service.ts';
import { SettlementOutcome } from '../../gen/stint/v1/worker_service.ts';
import { type Scene, useService } from './scene.ts';
import { jobIn, nameOf, type Standing, type StateName, STATES } from './standing.ts';
import { refusal } from './stint.ts';

const scene = useService();

/** In each cell the state after the action; `-`: the state does not allow it; `ended`: an answer, but nothing is done. */
const OPERATORS = `
            cancel     update      retry  resume  request_abandon  complete_externally
SCHEDULED   CANCELLED  SCHEDULED   -      -       -                -
READY       CANCELLED  READY       -      -       -                -
LEASED      LEASED     -           -      -       LEASED           -
RUNNING     RUNNING    -           -      -       RUNNING          -
RETRY_WAIT  CANCELLED  RETRY_WAIT  -      -       -                -
SUSPENDED   CANCELLED  SUSPENDED   -      READY   -                -
SUCCEEDED   ended      -           -      -       ended            -
FAILED      ended      -           READY  -       ended            -
CANCELLED   ended      -           READY  -       ended            -
ABANDONED   ended      -           -      -       ended            -`;

/** The same of those who hold the lease. With a token of another try each of these changes nothing, in any state. */
const HOLDERS = `
            ack        fail        release  suspend    start    heartbeat
LEASED      -          -           READY    -          RUNNING  LEASED
RUNNING     SUCCEEDED  RETRY_WAIT  READY    SUSPENDED  RUNNING  RUNNING`;

interface Cell {
  readonly state: StateName;
  readonly action: string;
  readonly to: string;
}

function cells(table: string): readonly Cell[] {
  const [head = [], ...rows] = table
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  return rows.flatMap(([name, ...row]) => {
    const state = STATES.find((one) => one === name) ?? expect.unreachable();
    return row.map((to, index) => ({ state, action: head[index] ?? '', to }));
  });
}

type Act = (scene: Scene, standing: Standing) => Promise<unknown>;
type Hold = (scene: Scene, leaseToken: string) => Promise<unknown>;

const OPERATE = new Map<string, Act>([
  ['cancel', ({ stint, namespace }, { jobId }) => stint.cancelJob({ namespace, jobId })],
  ['update', ({ stint, namespace }, { jobId }) => stint.updateJob({ namespace, jobId, priority: 5, updateMask: ['priority'] })],
  ['retry', ({ stint, namespace }, { jobId }) => stint.retryJob({ namespace, jobId })],
  ['resume', ({ stint, namespace }, { jobId }) => stint.resumeJob({ namespace, jobId })],
  ['request_abandon', ({ stint, namespace }, { jobId }) => stint.requestAbandon({ namespace, jobId })],
  [
    'complete_externally',
    ({ stint, namespace }, { jobId }) =>
      stint.completeExternally({ namespace, jobId, authority: 'somebody', completion: { $case: 'success', success: {} } }),
  ],
]);

const HOLD = new Map<string, Hold>([
  ['ack', ({ stint }, leaseToken) => stint.ack({ leaseToken })],
  ['fail', ({ stint }, leaseToken) => stint.fail({ leaseToken })],
  ['release', ({ stint }, leaseToken) => stint.release({ leaseToken })],
  ['suspend', ({ stint }, leaseToken) => stint.suspend({ leaseToken })],
  ['start', ({ stint }, leaseToken) => stint.start({ leaseToken })],
  ['heartbeat', ({ stint }, leaseToken) => stint.heartbeat({ workerId: 'worker-1', leases: [{ leaseToken }] })],
]);

const hold = (action: string): Hold => HOLD.get(action) ?? expect.unreachable();
const operating = (action: string): Act => OPERATE.get(action) ?? expect.unreachable();
const holding =
  (action: string): Act =>
  (one, { live }) =>
    hold(action)(one, live);

/** The words of the action in a refusal. */
async function isRefused(call: Promise<unknown>, { state, action }: Cell): Promise<void> {
  const { info, names } = await refusal(call);
  expect(info).toMatchObject({ reason: 'INVALID_TRANSITION', metadata: { state, action } });
  expect(names).toContain('PreconditionFailure');
}

const ENDED = { cancel: { outcome: CancelOutcome.ALREADY_TERMINAL }, request_abandon: { outcome: AbandonOutcome.ALREADY_TERMINAL } };

/** Whatever holds a stale token is told so, each in its own way. */
const STALE: readonly [string, Act][] = [
  ...['ack', 'fail', 'suspend', 'start'].map((action): [string, Act] => [
    action,
    async (one, { stale }) => {
      expect((await refusal(hold(action)(one, stale.released))).info).toMatchObject({ reason: 'LEASE_LOST' });
    },
  ]),
  [
    'release',
    async ({ stint }, { stale }) => {
      expect((await stint.release({ leaseToken: stale.failed })).outcome).toBe(SettlementOutcome.NOT_HELD);
    },
  ],
  [
    'heartbeat',
    async ({ stint }, { stale }) => {
      const { results } = await stint.heartbeat({ workerId: 'worker-1', leases: [{ leaseToken: stale.released }] });
      expect(results.map(({ result }) => result?.$case)).toEqual(['lost']);
    },
  ],
];

const operatorCells = cells(OPERATORS);
const holderCells = cells(HOLDERS);
const isDone = ({ to }: Cell) => to !== '-' && to !== 'ended';

/** Events of an allowed action: a renewal tells none, and neither does a start that came before. */
const eventsOf = ({ state, action }: Cell) => (action === 'heartbeat' || (state === 'RUNNING' && action === 'start') ? 0 : 1);

describe('a job that is', () => {
  it.each(STATES)('%s is left as it is by what it does not allow', async (state) => {
    const one = scene();
    const standing = await jobIn(one, state);
    const before = await one.picture(standing.jobId);
    expect(nameOf(before.job.state)).toBe(state);
    const unchanged = async (what: string) => expect(await one.picture(standing.jobId), what).toEqual(before);
    for (const cell of operatorCells.filter((other) => other.state === state && !isDone(other))) {
      const call = operating(cell.action)(one, standing);
      if (cell.to === 'ended') expect(await call).toMatchObject(cell.action === 'cancel' ? ENDED.cancel : ENDED.request_abandon);
      else await isRefused(call, cell);
      await unchanged(cell.action);
    }
    for (const cell of holderCells.filter((other) => other.state === state && !isDone(other))) {
      await isRefused(holding(cell.action)(one, standing), cell);
      await unchanged(cell.action);
    }
    for (const [action, attempt] of STALE) {
      await attempt(one, standing);
      await unchanged(`${action} with a stale token`);
    }
    await one.isSound();
  });

  const allowed = [
    ...operatorCells.filter(isDone).map((cell) => ({ ...cell, how: operating(cell.action) })),
    ...holderCells.filter(isDone).map((cell) => ({ ...cell, how: holding(cell.action) })),
  ];
  it.each(allowed)('$state allows $action, and is $to then', async ({ how, ...cell }) => {
    const one = scene();
    const standing = await jobIn(one, cell.state);
    const before = await one.picture(standing.jobId);
    await how(one, standing);
    const after = await one.picture(standing.jobId);
    expect(nameOf(after.job.state)).toBe(cell.to);
    expect(after.events.slice(0, before.events.length)).toEqual(before.events);
    expect(after.events).toHaveLength(before.events.length + eventsOf(cell));
    expect(after.events.map(({ sequence }) => Number(sequence))).toEqual(after.events.map((_, index) => index + 1));
    expect(after.job.lastSequence).toBe(BigInt(after.events.length));
    expect(nameOf(after.events.at(-1)?.state)).toBe(cell.to);
    await one.isSound();
  });
});
