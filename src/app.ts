/** Where the rooms meet: plain constructors, called from the cellar up. */
import type { Config } from './config.ts';
import { createEngine, type EngineParts, type RunningEngine } from './engine/create-engine.ts';
import { DATABASE_CLOCK, type Clock } from './engine/ports/clock.ts';
import { type CommitObserver, everyCommitObserver } from './engine/ports/commit-observer.ts';
import type { WorkerObserver } from './engine/ports/worker-observer.ts';
import { observedWorkers } from './engine/observed-workers.ts';
import { everyStatementObserver, type StatementObserver } from './engine/ports/statement-observer.ts';
import type { Watchers } from './engine/watchers.ts';
import { EventHub } from './feed/event-hub.ts';
import { GrpcServer } from './grpc/server.ts';
import { addServices, SERVICE_NAMES } from './grpc/services.ts';
import { Health } from './ops/health.ts';
import type { Logger } from './ops/logging.ts';
import type { Metrics } from './ops/metrics/metrics.ts';
import { RpcLog } from './ops/rpc-log.ts';
import { everyRpcObserver, type RpcObserver } from './ops/rpc-observer.ts';
import { addReflection } from './ops/reflection.ts';
import { readVersion } from './ops/version.ts';
import { openStore, type Store } from './repository/store.ts';

/** How long calls may take to end at shutdown. */
const SHUTDOWN_GRACE_MS = 10_000;

/**
 * Upkeep asks the database at least once a second: readiness is the age of the last answer. Nothing else decides, so that
 * one failed task of many does not take a replica out of service, and a database that swallows questions is noticed.
 */
const READY_FOR_MS = 5_000;

export interface App {
  /** Where gRPC is served, as host:port. */
  readonly grpcAddress: string;
  /** True while a round of upkeep has succeeded within the last 5 s; false once the stop has begun. */
  ready(): boolean;
  stop(): Promise<void>;
}

/** Who watches the service; where none of a kind does, nothing of that kind is measured. */
export interface Observers {
  readonly calls: readonly RpcObserver[];
  readonly commits: readonly CommitObserver[];
  readonly statements: readonly StatementObserver[];
  readonly workers?: WorkerObserver;
}

const NOBODY: Observers = { calls: [], commits: [], statements: [] };

export interface AppOptions {
  readonly config: Pick<Config, 'listen'> & Partial<Pick<Config, 'journalRetentionDays' | 'connectionLife' | 'metricsQueues'>>;
  readonly databaseUrl: string;
  readonly logger: Logger;
  /** Tests play their own time; production leaves it to the database. */
  readonly clock?: Clock;
  /** The bench compares engines; production has the one. */
  readonly engineOf?: (parts: EngineParts) => RunningEngine;
  /** Default: nobody. */
  readonly observers?: Observers;
  /** Default: none, and nothing is measured. */
  readonly metrics?: Metrics;
}

/** Migrates, then serves. Throws what keeps it from that: a `ListenError`, or what the driver or storage said. */
export async function startApp(options: AppOptions): Promise<App> {
  const { config, databaseUrl, logger, clock = DATABASE_CLOCK, engineOf = createEngine, observers = NOBODY, metrics } = options;
  const { journalRetentionDays, metricsQueues = 0 } = config;
  const { calls, commits, statements } = metrics === undefined ? observers : together(observers, metrics);
  const store = await openStore({
    ...{ url: databaseUrl, clock, random: Math.random },
    statementObserver: statements.length === 0 ? undefined : everyStatementObserver(statements),
    ...(journalRetentionDays === undefined ? {} : { journalRetentionDays }),
  });
  let answeredAt = Number.NEGATIVE_INFINITY;
  const onFailure = (what: string, error: unknown) => {
    metrics?.onBackgroundFailure(what);
    logger.warn({ err: error, what }, 'background work failed, and will be tried again');
  };
  const onHealthy = () => {
    answeredAt = performance.now();
  };
  const hub = createHub(store, { engine: () => engine, metrics, onFailure: (error) => onFailure('feed', error) });
  const engine = engineOf({
    ...{ repository: store.repository, log: hub, random: Math.random, onFailure, onHealthy },
    tellProgress: (told) => store.doorbell.tell(told),
    watchers: watchersOf(commits, metrics, metricsQueues),
  });
  const rpcLog = new RpcLog(logger);
  const server = new GrpcServer(new Health(SERVICE_NAMES), config.connectionLife, everyRpcObserver([...calls, rpcLog]));
  addReflection(server.server);
  addServices(server.server, {
    engine: observers.workers === undefined ? engine : { ...engine, workers: observedWorkers(engine.workers, observers.workers) },
    version: readVersion(),
    report: (error, method) => logger.error({ err: error, method }, 'a call failed whose client had gone'),
    carriers: server.carriers,
  });
  const close = async () => {
    rpcLog.stop();
    await engine.stop();
    await hub.stop();
    await store.close();
  };
  try {
    await hub.start();
    await engine.start();
    // The start itself asks, and the first round comes right behind it.
    onHealthy();
    const port = await server.listen(config.listen);
    let stopping = false;
    const isReady = () => !stopping && performance.now() - answeredAt < READY_FOR_MS;
    metrics?.watch(() => ({
      ...{ isReady: isReady(), answeredAgoMs: performance.now() - answeredAt },
      ...{ pools: store.pools(), feed: hub.state, engine: engine.state() },
    }));
    return {
      grpcAddress: `${config.listen.host.includes(':') ? `[${config.listen.host}]` : config.listen.host}:${port}`,
      ready: isReady,
      stop: async () => {
        stopping = true;
        await server.stop({ answerParked: () => engine.drain(), graceMs: SHUTDOWN_GRACE_MS });
        await close();
      },
    };
  } catch (error) {
    await close().catch(() => undefined);
    throw error;
  }
}

interface HubParts {
  /** Which is made after its hub. */
  readonly engine: () => RunningEngine;
  readonly metrics: Metrics | undefined;
  readonly onFailure: (error: unknown) => void;
}

function createHub({ journal, doorbell }: Store, { engine, metrics, onFailure }: HubParts): EventHub {
  return new EventHub({
    ...{ journal, doorbell, onFailure },
    onEvents: (events) => {
      const newest = events.at(-1);
      if (newest !== undefined) metrics?.onFeedDelay(engine().state().databaseTimeMs - newest.occurredAt / 1_000);
      engine().onEvents(events);
    },
    onBegin: () => engine().onBegin(),
    onProgress: (read) => engine().onProgress(read),
    onQueues: () => engine().onQueues(),
    onNewEpoch: () => engine().onNewEpoch(),
  });
}

function watchersOf(commits: readonly CommitObserver[], metrics: Metrics | undefined, queues: number): Watchers {
  return {
    commits: commits.length === 0 ? undefined : everyCommitObserver(commits),
    jobs: metrics?.jobs,
    figures: metrics === undefined ? undefined : { queues, tell: (figures) => metrics.queues.tell(figures) },
  };
}

function together({ calls, commits, statements }: Observers, metrics: Metrics): Observers {
  return {
    calls: [...calls, metrics.calls],
    commits: [...commits, metrics.commits],
    statements: [...statements, metrics.statements],
  };
}
