/**
 * The calls of a worker, made over `Work`: what the contract says of a lease is said of it however its worker talks. A claim
 * is a session of its own, which takes what it is assigned within the wait. Settlements and heartbeats go over one session that
 * stays open. Unary stays what a session does not know: request ids, an explicit start, why nothing was claimed.
 */
import { randomUUID } from 'node:crypto';
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import type { Any } from '../../gen/google/protobuf/any.ts';
import { BadRequest } from '../../gen/google/rpc/error_details.ts';
import { Status } from '../../gen/google/rpc/status.ts';
import {
  type ClaimedJob,
  ClaimDecision,
  ClaimRequest,
  type ClaimResponse,
  HeartbeatRequest,
  type Settlement,
  SettleRequest,
  type SettleResult,
  StartMode,
} from '../../gen/stint/v1/worker_service.ts';
import { DETAILS_TRAILER } from '../support/rich-status.ts';
import { micros, seconds, type Stint } from './stint.ts';
import { WorkStream } from './work-stream.ts';

const MAX_CREDITS = 1_000;
/** A session names fewer queues than a claim may. */
const MAX_QUEUES = 100;
/** Of a claim: what is longer is refused, as other numbers out of range are, by the call. */
const MAX_WAIT_MICROS = 60_000_000;
const DAY_SECONDS = 86_400;
/** Outlasts a file of tests. */
const SESSION_DEADLINE_MS = 3_600_000;
/** Beside the wait of a claim. */
const CLAIM_MARGIN_MS = 15_000;

type Action = NonNullable<Parameters<typeof Settlement.fromPartial>[0]['action']>;
type Results = readonly SettleResult[];

/** The same client; `raw` is left as it is. */
export function overWork(stint: Stint): Stint {
  const session = new WorkerSession(stint);
  const one = async (leaseToken: string | undefined, action: Action) => {
    const [result] = await session.settle([{ ...(leaseToken === undefined ? {} : { leaseToken }), action }]);
    if (result?.result?.$case === 'error') throw serviceError(result.result.error);
    return result?.result;
  };
  return {
    ...stint,
    claim: (asked, deadlineMs) => {
      const request = ClaimRequest.fromPartial(asked);
      return isOfWork(request) ? claim(stint, request) : stint.claim(asked, deadlineMs);
    },
    ack: async ({ leaseToken, ...ack }) => answer(await one(leaseToken, { $case: 'ack', ack }), 'ack').ack,
    fail: async ({ leaseToken, ...fail }) => answer(await one(leaseToken, { $case: 'fail', fail }), 'fail').fail,
    release: async ({ leaseToken, ...release }) => answer(await one(leaseToken, { $case: 'release', release }), 'release').release,
    suspend: async ({ leaseToken, ...suspend }) => answer(await one(leaseToken, { $case: 'suspend', suspend }), 'suspend').suspend,
    settle: async (asked) => ({ results: [...(await session.settle(SettleRequest.fromPartial(asked).settlements))] }),
    heartbeat: (asked) => session.heartbeat(HeartbeatRequest.fromPartial(asked)),
    close: () => {
      session.close();
      stint.close();
    },
  };
}

function isOfWork({ requestId, start, wait, maxJobs, queues }: ClaimRequest): boolean {
  const isPlain = requestId === '' && start !== StartMode.EXPLICIT && queues.length <= MAX_QUEUES;
  const waitMicros = micros(wait);
  return isPlain && waitMicros > 0 && waitMicros <= MAX_WAIT_MICROS && maxJobs >= 0 && maxJobs <= MAX_CREDITS;
}

/** Nothing more is assigned once there is something, or the wait is over. */
async function claim(stint: Stint, request: ClaimRequest): Promise<ClaimResponse> {
  const { namespace, workerId, queues, types, leaseDuration } = request;
  const waitMs = micros(request.wait) / 1_000;
  const stream = new WorkStream(stint, waitMs + CLAIM_MARGIN_MS);
  const credits = Math.max(1, request.maxJobs);
  stream.say({ $case: 'open', open: { namespace, workerId, queues, types, credits, ...(leaseDuration && { leaseDuration }) } });
  const waiting = setTimeout(() => stream.sayNoMore(), waitMs);
  await stream.came('assigned');
  clearTimeout(waiting);
  stream.sayNoMore();
  await stream.ended();
  const jobs: ClaimedJob[] = [];
  while (stream.unread.includes('assigned')) jobs.push(...(await stream.next('assigned')).assigned.jobs);
  return { jobs, decision: jobs.length > 0 ? ClaimDecision.ASSIGNED : ClaimDecision.EMPTY };
}

/** A session that claims nothing, opened when it is first needed, and again when it has ended. */
class WorkerSession {
  readonly #stint: Stint;
  #stream: WorkStream | null = null;

  constructor(stint: Stint) {
    this.#stint = stint;
  }

  async settle(settlements: readonly Parameters<typeof Settlement.fromPartial>[0][]): Promise<Results> {
    return await this.#open().settle(randomUUID(), settlements).catch(throwAsOfCall);
  }

  async heartbeat({ leases }: HeartbeatRequest) {
    const heldTokens = leases.map(({ leaseToken }) => leaseToken);
    const isTold = ({ checkpoint, progress }: (typeof leases)[number]) => checkpoint !== undefined || progress !== undefined;
    const stream = this.#open();
    // All or none, so that each has the place that it has in the call.
    stream.say({ $case: 'heartbeat', heartbeat: { heldTokens, leases: leases.some(isTold) ? leases : [] } });
    const { heartbeat } = await stream.next('heartbeat').catch(throwAsOfCall);
    return { results: heartbeat.results };
  }

  close(): void {
    this.#stream?.cancel();
  }

  /** Its interval is so long that no lease is given up for not being listed: each call lists its own. */
  #open(): WorkStream {
    if (this.#stream !== null && !this.#stream.isOver) return this.#stream;
    const stream = new WorkStream(this.#stint, SESSION_DEADLINE_MS);
    const leaseDuration = seconds(DAY_SECONDS);
    stream.say({ $case: 'open', open: { workerId: 'session', queues: ['no-queue'], credits: 0, leaseDuration } });
    this.#stream = stream;
    return stream;
  }
}

type Answered = Exclude<SettleResult['result'], undefined>;

function answer<Kind extends Answered['$case']>(result: Answered | undefined, kind: Kind): Extract<Answered, { readonly $case: Kind }> {
  if (result === undefined || !isOf(result, kind)) throw new Error(`${result?.$case} was answered, and not ${kind}`);
  return result;
}

function isOf<Kind extends Answered['$case']>(result: Answered, kind: Kind): result is Extract<Answered, { readonly $case: Kind }> {
  return result.$case === kind;
}

/** A session that was refused a message, as the call that asks for the same is refused. */
function throwAsOfCall(error: unknown): never {
  const [bytes] = error instanceof Error && 'metadata' in error && error.metadata instanceof Metadata ? detailsOf(error.metadata) : [];
  throw bytes instanceof Buffer ? serviceError(Status.decode(bytes)) : error;
}

function detailsOf(metadata: Metadata) {
  return metadata.get(DETAILS_TRAILER);
}

/** A refusal as its unary call would end. */
function serviceError(refusal: Status): ServiceError {
  const metadata = new Metadata();
  const told = { ...refusal, details: refusal.details.map(asOfCall) };
  metadata.set(DETAILS_TRAILER, Buffer.from(Status.encode(told).finish()));
  const { code, message: details } = refusal;
  return Object.assign(new Error(`${code} ${status[code]}: ${details}`), { code, details, metadata });
}

/** The request of a unary call is a part of what a session is told: fields are named from there. */
function asOfCall(detail: Any): Any {
  if (!detail.typeUrl.endsWith('google.rpc.BadRequest')) return detail;
  const fieldViolations = BadRequest.decode(detail.value).fieldViolations.map((violation) => {
    const field = violation.field
      .replace(/^(settle|heartbeat)\./, '')
      .replace(/^settlements\[0\]\.(ack|fail|release|suspend)\./, '')
      .replace(/^held_tokens/, 'leases');
    return { ...violation, field };
  });
  return { ...detail, value: Buffer.from(BadRequest.encode(BadRequest.fromPartial({ fieldViolations })).finish()) };
}
