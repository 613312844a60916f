/** The SDK behind the API: loaded only where tracing is on, for its packages are optional. What it reads of the environment are OpenTelemetry's own names. */
import { randomUUID } from 'node:crypto';
import { context, diag, DiagLogLevel, trace } from '@opentelemetry/api';

export type TracingProtocol = 'http/protobuf' | 'grpc';

export interface TracingOptions {
  readonly protocol: TracingProtocol;
  readonly version: string;
  /** Spans are not exported, or something else is wrong: told at most once a minute. Tracing goes on, and so does the service. */
  readonly onFailure: (told: string) => void;
}

export interface Tracing {
  /** Sends what is left, for as long as that may take. */
  stop(): Promise<void>;
}

/** Longer than this the end of the process does not wait for a collector. */
const STOP_LIMIT_MS = 3_000;
const FAILURE_INTERVAL_MS = 60_000;
const TOLD_LENGTH = 300;

/** A package that is asked for is not installed. The message is one line that says how to mend that. */
export class TracingNotInstalled extends Error {
  override readonly name = 'TracingNotInstalled';
}

/** Spans are recorded from here on, and exported as the environment says. */
export async function startTracing(options: TracingOptions): Promise<Tracing> {
  const sdk = await load(options.protocol);
  diag.setLogger(failureLogger(options.onFailure), { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  const resource = sdk
    .defaultResource()
    .merge(sdk.resourceFromAttributes({ 'service.name': 'stint', 'service.version': options.version, 'service.instance.id': randomUUID() }))
    .merge(sdk.detectResources({ detectors: [sdk.envDetector] }));
  const processor = new sdk.BatchSpanProcessor(new sdk.OTLPTraceExporter());
  const provider = new sdk.BasicTracerProvider({ resource, spanProcessors: [processor] });
  context.setGlobalContextManager(new sdk.AsyncLocalStorageContextManager().enable());
  trace.setGlobalTracerProvider(provider);
  return {
    stop: async () => {
      await within(STOP_LIMIT_MS, provider.shutdown()).catch(() => options.onFailure('the last spans could not be exported'));
      trace.disable();
      context.disable();
      diag.disable();
    },
  };
}

async function load(protocol: TracingProtocol) {
  try {
    const [base, resources, hooks, exporter] = await Promise.all([
      import('@opentelemetry/sdk-trace-base'),
      import('@opentelemetry/resources'),
      import('@opentelemetry/context-async-hooks'),
      protocol === 'grpc' ? import('@opentelemetry/exporter-trace-otlp-grpc') : import('@opentelemetry/exporter-trace-otlp-proto'),
    ]);
    const { BasicTracerProvider, BatchSpanProcessor } = base;
    const { defaultResource, resourceFromAttributes, detectResources, envDetector } = resources;
    const { AsyncLocalStorageContextManager } = hooks;
    return {
      ...{ BasicTracerProvider, BatchSpanProcessor, AsyncLocalStorageContextManager, OTLPTraceExporter: exporter.OTLPTraceExporter },
      ...{ defaultResource, resourceFromAttributes, detectResources, envDetector },
    };
  } catch (error) {
    const name = missingPackage(error);
    if (name === null) throw error;
    throw new TracingNotInstalled(
      `tracing is asked for by OTEL_… settings, but ${name} is not installed: npm ci --include=optional, or set OTEL_TRACES_EXPORTER=none`,
      { cause: error },
    );
  }
}

function missingPackage(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error) || error.code !== 'ERR_MODULE_NOT_FOUND') return null;
  return /package '([^']+)'/.exec(error.message)?.[1] ?? '@opentelemetry/sdk-trace-base';
}

/** What the SDK complains of each time it tries, told now and then. Cut short: it may bring a collector's whole answer. */
function failureLogger(onFailure: (told: string) => void) {
  let toldAt = Number.NEGATIVE_INFINITY;
  const tell = (message: string) => {
    if (performance.now() - toldAt < FAILURE_INTERVAL_MS) return;
    toldAt = performance.now();
    onFailure(message.slice(0, TOLD_LENGTH));
  };
  const nothing = () => undefined;
  return { error: tell, warn: tell, info: nothing, debug: nothing, verbose: nothing };
}

async function within(limitMs: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('it took too long')), limitMs);
  });
  await Promise.race([work, limit]).finally(() => clearTimeout(timer));
}
