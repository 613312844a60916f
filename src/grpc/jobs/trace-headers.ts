import { LIMITS } from '../../domain/limits.ts';
import { activeTraceHeaders, headerOf, readTraceHeaders, type TraceHeaders } from '../../ops/trace-context.ts';
import type { Call } from '../call.ts';

interface Spec {
  readonly headers: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
}

/** The trace that a job enqueued by this call belongs to: of the call's own span where it is traced, else what its producer sent. */
export function traceOf(call: Call): TraceHeaders | null {
  return activeTraceHeaders() ?? readTraceHeaders((name) => call.header(name));
}

/**
 * The headers for the worker. What the producer wrote stays as it is: a trace among it is the one to continue. Where the trace does not
 * fit beside it, the job goes without: nobody is refused for what he did not send.
 */
export function tracedHeaders({ headers, labels }: Spec, trace: TraceHeaders | null): Readonly<Record<string, string>> {
  if (trace === null || headerOf(headers, 'traceparent') !== null) return headers;
  const { traceparent, tracestate } = trace;
  const traced = { ...headers, traceparent };
  if (bytesOf(traced) + bytesOf(labels) > LIMITS.headersAndLabelsBytes) return headers;
  if (tracestate === '' || headerOf(headers, 'tracestate') !== null) return traced;
  const whole = { ...traced, tracestate };
  return bytesOf(whole) + bytesOf(labels) > LIMITS.headersAndLabelsBytes ? traced : whole;
}

function bytesOf(map: Readonly<Record<string, string>>): number {
  return Object.entries(map).reduce((sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value), 0);
}
