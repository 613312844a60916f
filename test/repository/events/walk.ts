import fc from 'fast-check';
import type { Failure, JobId } from '../../../src/domain/job.ts';
import { parseLeaseToken, type LeaseToken } from '../../../src/domain/lease.ts';
import { spec } from '../../feed/work.ts';
import type { System } from '../../model/system.ts';

export const QUEUES = ['a', 'b', 'c'] as const;

/** `job` and `lease` choose among those there are, modulo their number. */
export type Step =
  | {
      readonly do: 'enqueue';
      readonly namespace: number;
      readonly count: number;
      readonly queue: (typeof QUEUES)[number];
      readonly type: string;
      readonly priority: number;
      readonly runInMs: number | null;
      readonly maxAttempts: number | null;
    }
  | {
      readonly do: 'claim';
      readonly namespace: number;
      readonly queues: readonly (typeof QUEUES)[number][];
      readonly maxJobs: number;
      readonly start: boolean;
      readonly leaseDurationMs: number;
      readonly workerId: string;
    }
  | { readonly do: 'start' | 'heartbeat' | 'ack'; readonly lease: number }
  | { readonly do: 'fail'; readonly lease: number; readonly failure: Failure; readonly retryAfterMs: number | null }
  | { readonly do: 'release'; readonly lease: number; readonly delayMs: number }
  | { readonly do: 'append'; readonly namespace: number; readonly job: number; readonly lease: number | null; readonly data: Uint8Array }
  | { readonly do: 'advance'; readonly milliseconds: number }
  | { readonly do: 'upkeep' };

const lease = fc.nat(30);
const namespace = fc.nat(1);

const failure: fc.Arbitrary<Failure> = fc.record({
  code: fc.constantFrom('boom', 'stint.like', 'ünï"c\\ode'),
  message: fc.constantFrom('', 'no', 'a "quoted" \\ line\nand 😀, {brace}'),
  details: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
  kind: fc.constantFrom('RETRYABLE' as const, 'RETRYABLE' as const, 'TERMINAL' as const),
});

const enqueue = fc.record({
  do: fc.constant('enqueue' as const),
  namespace,
  count: fc.integer({ min: 1, max: 5 }),
  queue: fc.constantFrom(...QUEUES),
  type: fc.constantFrom('', 'resize', 'a "quoted" type'),
  priority: fc.constantFrom(0, 0, 7, -7, 2_147_483_647, -2_147_483_648),
  runInMs: fc.constantFrom(null, null, 3_000, -1_000),
  maxAttempts: fc.constantFrom(null, 1, 2),
});

const claim = fc.record({
  do: fc.constant('claim' as const),
  namespace,
  queues: fc.subarray([...QUEUES], { minLength: 1 }),
  maxJobs: fc.integer({ min: 1, max: 4 }),
  start: fc.boolean(),
  leaseDurationMs: fc.constantFrom(1_000, 30_000),
  workerId: fc.constantFrom('w1', 'worker, "two"', 'NULL'),
});

export const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: enqueue },
  { weight: 4, arbitrary: claim },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('start' as const, 'heartbeat' as const, 'ack' as const), lease }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('fail' as const), lease, failure, retryAfterMs: fc.constantFrom(null, 0, 1_500) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('release' as const), lease, delayMs: fc.constantFrom(0, 2_500) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      namespace,
      job: fc.nat(30),
      lease: fc.option(lease),
      data: fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('advance' as const), milliseconds: fc.constantFrom(1, 4_000, 7_000, 40_000) }) },
  { weight: 2, arbitrary: fc.constant<Step>({ do: 'upkeep' }) },
);

const NO: Failure = { code: 'no', message: '', details: Buffer.alloc(0), kind: 'TERMINAL' };
const scripted = { namespace: 0, queue: 'a', type: 't', priority: 0, runInMs: null, maxAttempts: null, count: 1 } as const;
const taken = { namespace: 0, queues: ['a'], maxJobs: 4, leaseDurationMs: 1_000, workerId: 'w' } as const;

/** Meets every event type and variant once, whatever the random walks meet. */
export const scriptedWalk: Step[] = [
  { do: 'enqueue', ...scripted, count: 4 },
  { do: 'enqueue', ...scripted, runInMs: 500, maxAttempts: 1 },
  { do: 'claim', ...taken, start: true },
  { do: 'append', namespace: 0, job: 0, lease: null, data: Buffer.from('d') },
  { do: 'ack', lease: 0 },
  { do: 'fail', lease: 0, failure: NO, retryAfterMs: null },
  { do: 'fail', lease: 0, failure: { ...NO, kind: 'RETRYABLE', details: Buffer.from('why') }, retryAfterMs: null },
  { do: 'release', lease: 0, delayMs: 800 },
  { do: 'advance', milliseconds: 2_000 },
  { do: 'upkeep' },
  { do: 'claim', ...taken, start: false },
  { do: 'start', lease: 0 },
  { do: 'release', lease: 1, delayMs: 0 },
  { do: 'advance', milliseconds: 40_000 },
  { do: 'upkeep' },
];

/** Does steps with the real engine, and keeps what later steps can act on. */
export class Walk {
  /** Jobs by namespace. */
  readonly jobs: ReadonlyMap<string, JobId[]>;
  readonly #system: System;
  readonly #namespaces: readonly string[];
  /** Given and not yet settled by a step; some have expired since. */
  readonly #leases: LeaseToken[] = [];

  constructor(system: System, namespaces: readonly string[]) {
    this.#system = system;
    this.#namespaces = namespaces;
    this.jobs = new Map(namespaces.map((name) => [name, []]));
  }

  async do(step: Step): Promise<void> {
    const { engine, clock } = this.#system;
    switch (step.do) {
      case 'enqueue':
        return this.#enqueue(step);
      case 'claim':
        return this.#claim(step);
      case 'append':
        return this.#append(step);
      case 'advance':
        return clock.advance(step.milliseconds);
      case 'upkeep':
        await engine.queues.runUpkeep();
        return;
      case 'start':
        await engine.workers.start(this.#lease(step.lease));
        return;
      case 'heartbeat':
        await engine.workers.heartbeat([{ token: this.#lease(step.lease), checkpoint: Buffer.from('half') }]);
        return;
      case 'ack':
        return this.#settle(step.lease, (token) => engine.workers.ack({ token, result: Buffer.from('done'), contentType: 'text/plain' }));
      case 'fail':
        return this.#settle(step.lease, (token) => engine.workers.fail({ token, failure: step.failure, retryAfterMs: step.retryAfterMs }));
      case 'release':
        return this.#settle(step.lease, (token) => engine.workers.release({ token, delayMs: step.delayMs }));
    }
  }

  async #enqueue(step: Extract<Step, { do: 'enqueue' }>): Promise<void> {
    const name = this.#namespace(step.namespace);
    const { queue, type, priority, runInMs } = step;
    const runAt = runInMs === null ? null : (this.#system.clock.now().getTime() + runInMs) * 1_000;
    const job = spec({ queue, type, priority, runAt, retry: { ...spec().retry, maxAttempts: step.maxAttempts } });
    const items = Array.from({ length: step.count }, () => ({ ok: true as const, value: job }));
    const answer = await this.#system.engine.jobs.enqueueBatch({ namespace: name, items, atomic: false });
    if (!answer.ok) throw new Error(answer.refusal.kind);
    this.jobs.get(name)?.push(...answer.value.flatMap((one) => (one.ok ? [one.value.job.jobId] : [])));
  }

  /** Of a job there is, or of the one that a lease is of. */
  async #append({ namespace: index, job, lease: of, data }: Extract<Step, { do: 'append' }>): Promise<void> {
    const name = this.#namespace(index);
    const token = of === null ? null : this.#lease(of);
    const jobs = this.jobs.get(name) ?? [];
    const jobId = token?.jobId ?? jobs[job % Math.max(1, jobs.length)];
    if (jobId === undefined) return;
    const told = { type: 'a.fact', data, contentType: 'a "quoted" type', replayKey: null };
    await this.#system.engine.events.appendEvent({ namespace: name, jobId, holder: token === null ? null : { token }, ...told });
  }

  async #claim({ namespace: index, start, ...claimed }: Extract<Step, { do: 'claim' }>): Promise<void> {
    const command = { ...claimed, namespace: this.#namespace(index), startOnClaim: start, waitMs: 0, requestId: null };
    const { jobs } = await this.#system.engine.workers.claim(command, new AbortController().signal);
    this.#leases.push(...jobs.flatMap((job) => parseLeaseToken(job.lease.leaseToken) ?? []));
  }

  /** A settlement that the service refuses (not started, expired) is a step too: it must leave no event. */
  async #settle(index: number, send: (token: LeaseToken) => Promise<{ ok: boolean }>): Promise<void> {
    const token = this.#lease(index);
    if (token === null) return;
    const { ok } = await send(token);
    if (ok) this.#leases.splice(this.#leases.indexOf(token), 1);
  }

  #lease(index: number): LeaseToken | null {
    return this.#leases[index % Math.max(1, this.#leases.length)] ?? null;
  }

  #namespace(index: number): string {
    return this.#namespaces[index] ?? '';
  }
}
