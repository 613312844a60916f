/** Spans of calls, of what is committed together, and of jobs on their way to workers and back. Nothing of what a job carries is told. */
import { type Attributes, context, type Link, ROOT_CONTEXT, type SpanContext, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { CommitObserver, Flush, FlushObservation } from '../engine/ports/commit-observer.ts';
import type { ObservedJob, WorkerObserver } from '../engine/ports/worker-observer.ts';
import type { ObservedRpc, RpcEnd, RpcObservation, RpcObserver } from './rpc-observer.ts';
import { headerOf, readTraceHeaders, remoteSpan } from './trace-context.ts';

/** Links of one span: as many as an SDK keeps unless it is told otherwise. How many more there were, an attribute says. */
const MAX_LINKS = 128;

/** Probes and tools come every few seconds, and tell nothing of the work. */
const UNTRACED = /^grpc\.(health|reflection)\./;

/** What the conventions call an error of the server; other codes tell of the request. */
const SERVER_FAULTS = new Set(['UNKNOWN', 'DEADLINE_EXCEEDED', 'UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS']);

/** Asked of whatever SDK is registered when a span begins. */
const tracer = trace.getTracer('stint');

export const callTracing: RpcObserver = {
  begin: (call) => (UNTRACED.test(call.rpc.service) ? null : new TracedCall(call)),
};

class TracedCall implements RpcObservation {
  readonly #within;

  constructor(call: ObservedRpc) {
    const { service, method } = call.rpc;
    const headers = readTraceHeaders((name) => call.header(name));
    const parent = headers === null ? null : remoteSpan(headers);
    const around = parent === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent);
    const attributes = { 'rpc.system': 'grpc', 'rpc.service': service, 'rpc.method': method, ...peerOf(call.peer) };
    this.#within = trace.setSpan(around, tracer.startSpan(`${service}/${method}`, { kind: SpanKind.SERVER, attributes }, around));
  }

  run<T>(work: () => T): T {
    return context.with(this.#within, work);
  }

  end({ code, status, reason }: RpcEnd): undefined {
    const span = trace.getSpan(this.#within);
    span?.setAttribute('rpc.grpc.status_code', code);
    if (code !== 0) span?.setAttribute('error.type', status);
    if (reason !== null) span?.setAttribute('stint.reason', reason);
    if (SERVER_FAULTS.has(status)) span?.setStatus({ code: SpanStatusCode.ERROR });
    span?.end();
  }
}

/** `10.0.0.1:4242` or `[::1]:4242`. */
function peerOf(peer: string): Attributes {
  const { address, port } = /^\[?(?<address>.+?)\]?:(?<port>\d+)$/.exec(peer)?.groups ?? {};
  return address === undefined ? {} : { 'network.peer.address': address, 'network.peer.port': Number(port) };
}

/** The span within which this runs; null where it is not recorded, and so is nothing of it. */
function recordingSpan(): SpanContext | null {
  const span = trace.getSpan(context.active());
  return span?.isRecording() === true ? span.spanContext() : null;
}

export const commitTracing: CommitObserver = {
  origin: recordingSpan,
  begin: beginFlush,
};

/**
 * A span of its own, linked to each call that it carries something of. It stands in the trace of the first of them: a sampler goes by the
 * parent, and as the root of a trace it would be kept where its calls are not, and not where they are.
 */
function beginFlush({ lane, waitsMs, origins }: Flush): FlushObservation | null {
  const callers = [...new Map(origins.filter(isSpan).map((origin) => [origin.spanId, origin])).values()];
  const [first] = callers;
  if (first === undefined) return null;
  const attributes = {
    ...{ 'stint.lane': lane, 'stint.items': waitsMs.length, 'stint.callers': callers.length },
    'stint.longest_wait_ms': Math.max(...waitsMs),
    ...leftOut(callers.length),
  };
  const links = callers.slice(0, MAX_LINKS).map((caller) => ({ context: caller }));
  const span = tracer.startSpan(`flush ${lane}`, { attributes, links }, trace.setSpanContext(ROOT_CONTEXT, first));
  return {
    end: (error) => {
      if (error !== null) {
        span.setAttribute('error.type', kindOf(error));
        span.setStatus({ code: SpanStatusCode.ERROR });
      }
      span.end();
    },
  };
}

function isSpan(origin: unknown): origin is SpanContext {
  return typeof origin === 'object' && origin !== null && 'spanId' in origin;
}

/** Never the message of an error: a database's may hold values. */
function kindOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  return 'kind' in error && typeof error.kind === 'string' ? error.kind : error.name;
}

export const workerTracing: WorkerObserver = {
  onAssigned: (jobs) => tellJobs('assign', 'receive', jobs),
  onSettled: (jobs) => tellJobs('settle', 'settle', jobs),
};

/** A span below the call's, linked to where each job was enqueued. */
function tellJobs(name: string, type: string, jobs: readonly ObservedJob[]): void {
  if (jobs.length === 0 || recordingSpan() === null) return;
  const queues = new Set(jobs.map(({ queue }) => queue));
  const [only] = jobs;
  const attributes = {
    ...{ 'messaging.system': 'stint', 'messaging.operation.name': name, 'messaging.operation.type': type },
    'messaging.batch.message_count': jobs.length,
    ...(only === undefined || queues.size > 1 ? {} : { 'messaging.destination.name': only.queue }),
    ...(only === undefined || jobs.length > 1 ? {} : { 'messaging.message.id': only.jobId }),
    ...leftOut(jobs.length),
  };
  const links = jobs.slice(0, MAX_LINKS).flatMap(linkOf);
  tracer.startSpan(name, { kind: SpanKind.CONSUMER, attributes, links }).end();
}

function linkOf({ jobId, headers }: ObservedJob): Link[] {
  const told = readTraceHeaders((name) => headerOf(headers, name));
  const enqueued = told === null ? null : remoteSpan(told);
  return enqueued === null ? [] : [{ context: enqueued, attributes: { 'stint.job_id': jobId } }];
}

function leftOut(count: number): Attributes {
  return count > MAX_LINKS ? { 'stint.links_left_out': count - MAX_LINKS } : {};
}
