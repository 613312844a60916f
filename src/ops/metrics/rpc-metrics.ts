import { Counter, Gauge, type Metric, type Registry } from 'prom-client';
import type { ObservedRpc, RpcEnd, RpcMethod, RpcObservation, RpcObserver } from '../rpc-observer.ts';
import type { PlainHistogram, PlainHistograms, Series } from './plain-histograms.ts';

/** A unary call takes about a millisecond; one that waits for work, up to a minute. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

const METHOD_LABELS = ['grpc_type', 'grpc_service', 'grpc_method'] as const;

/**
 * Calls by method and code, under the names that dashboards of gRPC know. All is counted in plain numbers, and handed over when somebody asks: a
 * call costs no more than a look at the clock and one bucket.
 */
export class RpcMetrics implements RpcObserver {
  readonly #methods = new Map<string, MethodCounts>();
  /** As many as there are reasons. */
  readonly #refusals = new Map<string, number>();
  readonly #seconds: PlainHistogram;

  constructor(registry: Registry, histograms: PlainHistograms) {
    this.#seconds = histograms.add({
      name: 'grpc_server_handling_seconds',
      help: 'Time from the begin of a call to its end, by method; of a stream, how long it was open.',
      labelNames: METHOD_LABELS,
      buckets: SECONDS,
    });
    for (const metric of plainMetrics(this.#methods, this.#refusals)) registry.registerMetric(metric);
  }

  begin({ rpc }: ObservedRpc): RpcObservation {
    const method = this.#methodOf(rpc);
    method.started += 1;
    return new Measured(method, this.#refusals);
  }

  #methodOf(rpc: RpcMethod): MethodCounts {
    const found = this.#methods.get(rpc.path);
    if (found !== undefined) return found;
    const made = countsOf(rpc, this.#seconds.labels(rpc.type, rpc.service, rpc.method));
    this.#methods.set(rpc.path, made);
    return made;
  }
}

interface MethodCounts {
  readonly labels: Record<(typeof METHOD_LABELS)[number], string>;
  readonly seconds: Series;
  started: number;
  ended: number;
  received: number;
  sent: number;
  /** By the name of the code. */
  readonly handled: Map<string, number>;
}

function countsOf({ type, service, method }: RpcMethod, seconds: Series): MethodCounts {
  const labels = { grpc_type: type, grpc_service: service, grpc_method: method };
  return { labels, seconds, started: 0, ended: 0, received: 0, sent: 0, handled: new Map() };
}

/** What is handed over from plain numbers when somebody asks. */
function plainMetrics(methods: ReadonlyMap<string, MethodCounts>, refusals: ReadonlyMap<string, number>): readonly Metric[] {
  const registers: Registry[] = [];
  const counterOf = (name: string, help: string, count: (method: MethodCounts) => number) =>
    new Counter({
      ...{ name, help, labelNames: METHOD_LABELS, registers },
      collect() {
        this.reset();
        for (const method of methods.values()) this.inc(method.labels, count(method));
      },
    });
  return [
    counterOf('grpc_server_started_total', 'Calls that began, by method.', ({ started }) => started),
    counterOf('grpc_server_msg_received_total', 'Messages that came in, by method.', ({ received }) => received),
    counterOf('grpc_server_msg_sent_total', 'Messages that went out, by method.', ({ sent }) => sent),
    new Counter({
      name: 'grpc_server_handled_total',
      help: 'Calls that ended, by method and code.',
      labelNames: [...METHOD_LABELS, 'grpc_code'],
      registers,
      collect() {
        this.reset();
        for (const { labels, handled } of methods.values()) {
          for (const [code, count] of handled) this.inc({ ...labels, grpc_code: code }, count);
        }
      },
    }),
    new Gauge({
      name: 'stint_rpc_in_flight',
      help: 'Calls that have begun and not ended, by method: of streaming methods the open streams, of Claim those that wait for work too.',
      labelNames: METHOD_LABELS,
      registers,
      collect() {
        for (const { labels, started, ended } of methods.values()) this.set(labels, started - ended);
      },
    }),
    new Counter({
      name: 'stint_rpc_refusals_total',
      help: 'Calls that were refused or failed, by the ErrorReason that the client was told.',
      labelNames: ['reason'],
      registers,
      collect() {
        this.reset();
        for (const [reason, count] of refusals) this.inc({ reason }, count);
      },
    }),
  ];
}

class Measured implements RpcObservation {
  readonly #method: MethodCounts;
  readonly #refusals: Map<string, number>;
  readonly #begunAt = performance.now();

  constructor(method: MethodCounts, refusals: Map<string, number>) {
    this.#method = method;
    this.#refusals = refusals;
  }

  onMessage(direction: 'received' | 'sent'): void {
    this.#method[direction] += 1;
  }

  end({ status, reason }: RpcEnd): undefined {
    const { handled, seconds } = this.#method;
    this.#method.ended += 1;
    handled.set(status, (handled.get(status) ?? 0) + 1);
    seconds.observe((performance.now() - this.#begunAt) / 1_000);
    if (reason !== null) this.#refusals.set(reason, (this.#refusals.get(reason) ?? 0) + 1);
  }
}
