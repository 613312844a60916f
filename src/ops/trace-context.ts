/** W3C Trace Context: how a trace is named from one process to the next. */
import { context, createTraceState, type SpanContext, trace } from '@opentelemetry/api';

/** What stands in headers of a call or of a job, by these names. */
export interface TraceHeaders {
  readonly traceparent: string;
  /** Empty: none. */
  readonly tracestate: string;
}

/** What gives a header by its name in lower case. */
export type HeaderReader = (name: string) => string | null;

/** Version 00; what a later version tells behind these four parts is passed over, as the recommendation has it. */
const TRACEPARENT = /^(?<version>[0-9a-f]{2})-(?<traceId>[0-9a-f]{32})-(?<spanId>[0-9a-f]{16})-(?<flags>[0-9a-f]{2})(?<rest>-.*)?$/;
const NO_TRACE = '0'.repeat(32);
const NO_SPAN = '0'.repeat(16);

/** Longer ones need not be passed on. */
const TRACESTATE_BYTES = 512;

/** Null where there is none, or one that names no trace: such a call begins one of its own. */
export function readTraceHeaders(header: HeaderReader): TraceHeaders | null {
  const traceparent = header('traceparent');
  if (traceparent === null || readTraceparent(traceparent) === null) return null;
  const tracestate = header('tracestate') ?? '';
  return { traceparent, tracestate: Buffer.byteLength(tracestate) <= TRACESTATE_BYTES ? tracestate : '' };
}

export function remoteSpan({ traceparent, tracestate }: TraceHeaders): SpanContext | null {
  const named = readTraceparent(traceparent);
  if (named === null || tracestate === '') return named;
  return { ...named, traceState: createTraceState(tracestate) };
}

/** The span of another process. */
function readTraceparent(text: string): SpanContext | null {
  const { version, traceId = NO_TRACE, spanId = NO_SPAN, flags = '00', rest } = TRACEPARENT.exec(text)?.groups ?? {};
  if (version === undefined || version === 'ff' || (version === '00' && rest !== undefined)) return null;
  if (traceId === NO_TRACE || spanId === NO_SPAN) return null;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true };
}

/** The span within which this runs, to be continued elsewhere; null where nothing is traced. */
export function activeTraceHeaders(): TraceHeaders | null {
  const span = trace.getSpanContext(context.active());
  if (span === undefined) return null;
  const { traceId, spanId, traceFlags, traceState } = span;
  return { traceparent: `00-${traceId}-${spanId}-0${traceFlags & 1}`, tracestate: traceState?.serialize() ?? '' };
}

/** By whatever letters the name is written: HTTP's names know no case, and producers copy them as they come. */
export function headerOf(headers: Readonly<Record<string, string>>, name: string): string | null {
  const exact = headers[name];
  if (exact !== undefined) return exact;
  return Object.entries(headers).find(([written]) => written.length === name.length && written.toLowerCase() === name)?.[1] ?? null;
}
