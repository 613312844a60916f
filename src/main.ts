import type { App, startApp } from './app.ts';
import { type Config, formatAddress, readConfig } from './config.ts';
import { EmbeddedPostgresError } from './embedded/error.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded/embedded-postgres.ts';
import { type AdminServer, startAdminServer } from './ops/admin-server.ts';
import { createLogger, type Logger } from './ops/logging.ts';
import { Metrics } from './ops/metrics/metrics.ts';
import { probePostgres } from './ops/postgres-probe.ts';
import { describeListenFailure, describeStoreFailure, readTarget } from './ops/start-failure.ts';
import { callTracing, commitTracing, workerTracing } from './ops/tracing.ts';
import { readVersion } from './ops/version.ts';
import type { MigrationPlan } from './repository/migrate.ts';

/** Draining and a database's checkpoint take seconds; past this time a supervisor loses patience with us anyway. */
const STOP_LIMIT_MS = 30_000;

/** npm passes Ctrl-C on, so one press may arrive twice within milliseconds; a person who insists takes longer. */
const FORCE_AFTER_MS = 1_000;

const USAGE = `usage: main.js                     serves
       main.js migrate             brings the schema of DATABASE_URL up to date, and ends
       main.js migrate --check     only says what is pending, and ends with 3 if something is`;

/** What runs in this process; each part leans on those that were started before it. */
interface Part {
  readonly name: string;
  stop(): Promise<void>;
}

interface Process {
  readonly config: Config;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly parts: Part[];
  readonly end: End;
}

/** What `app.ts` exports. */
interface AppCode {
  readonly startApp: typeof startApp;
}

const TRACING = { calls: [callTracing], commits: [commitTracing], statements: [], workers: workerTracing } as const;

/** A failure to start that one line tells completely. */
class Refusal extends Error {}

type Command = 'serve' | 'migrate' | 'check';

const commands = new Map<string, Command>([
  ['', 'serve'],
  ['migrate', 'migrate'],
  ['migrate --check', 'check'],
]);

async function main(): Promise<void> {
  const command = commands.get(process.argv.slice(2).join(' '));
  if (command === undefined) {
    process.stderr.write(`${USAGE}\n`);
    process.exit(2);
  }
  const reading = readConfig(process.env, { listens: command === 'serve' });
  if (reading.kind === 'refused') {
    refuse(reading.problems);
    process.exit(1);
  }
  const logger = createLogger({ level: reading.config.logLevel });
  if (command !== 'serve') process.exit(await migrateOnly(reading.config, command, logger));
  const metrics = new Metrics({ version: readVersion(), nodeVersion: process.version });
  process.exit(await run({ config: reading.config, logger, metrics, parts: [], end: new End(logger) }));
}

/** For a job that goes before the replicas: answers the exit code. What is ended meanwhile has changed nothing. */
async function migrateOnly({ databaseUrl }: Config, command: 'migrate' | 'check', logger: Logger): Promise<number> {
  // Who is process 1 of a container gets no signal that it does not ask for.
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => process.exit(1));
  if (databaseUrl === null) {
    refuse(['DATABASE_URL must say what to migrate: the embedded Postgres is brought up to date when the service starts']);
    return 1;
  }
  try {
    await probePostgres(databaseUrl);
    const { lookAhead, migrate } = await import('./repository/migrate.ts');
    const plan = await (command === 'check' ? lookAhead : migrate)(databaseUrl);
    const { host, database } = readTarget(databaseUrl);
    process.stdout.write(`stint: the schema in ${host}/${database} ${tellPlan(plan, command)}\n`);
    return command === 'check' && plan.pending.length > 0 ? 3 : 0;
  } catch (error) {
    const words = describeStoreFailure(error, databaseUrl);
    if (words === null) logger.fatal({ err: error }, 'the migration failed');
    refuse([words ?? 'nothing was migrated: the log entry above tells why']);
    return 1;
  }
}

function tellPlan({ from, to, pending }: MigrationPlan, command: 'migrate' | 'check'): string {
  if (pending.length === 0) return `is version ${to}: nothing is pending`;
  const count = `${pending.length} ${pending.length === 1 ? 'migration' : 'migrations'}`;
  const before = from === null ? 'nothing' : `version ${from}`;
  const what = command === 'check' ? `needs ${count} from ${before} to version ${to}` : `went from ${before} to version ${to} by ${count}`;
  return `${what}: ${pending.join(', ')}`;
}

function refuse(lines: readonly string[]): void {
  for (const line of lines) process.stderr.write(`stint: ${line}\n`);
}

/** Starts everything, waits for the end, stops what was started: answers the exit code. */
async function run(service: Process): Promise<number> {
  const { logger, parts, end } = service;
  try {
    const banner = await start(service);
    if (banner !== null) process.stdout.write(`${banner}\n`);
    await end.requested;
  } catch (error) {
    end.request(1, refusalOf(error, logger));
  }
  for (const part of parts.toReversed()) {
    await part.stop().catch((error: unknown) => {
      logger.error({ err: error, part: part.name }, 'a part could not be stopped in order');
      end.request(1);
    });
  }
  // Last, where whoever looks for the reason looks first.
  if (end.refusal !== null) refuse([end.refusal]);
  return end.exitCode;
}

/** Probes come first, so that whoever started us can watch; then the database; requests last. Null if told to end meanwhile. */
async function start(service: Process): Promise<string | null> {
  const { config, metrics, parts, end } = service;
  let app: App | null = null;
  await startTracing(service);
  const admin = await startAdmin(config, metrics, () => !end.isRequested() && app?.ready() === true);
  parts.push({ name: 'admin server', stop: async () => await admin.stop() });
  // grpc-js would print its own line beside each refusal of ours; it looks here when it is read.
  process.env['GRPC_VERBOSITY'] ??= 'NONE';
  // Read while Postgres starts, since each takes about as long as the other; and a refusal need not wait for it.
  const code = import('./app.ts');
  const postgres = config.databaseUrl === null ? await startPostgres(service) : null;
  const databaseUrl = postgres?.url ?? config.databaseUrl ?? '';
  // A database that does not answer must not keep whoever has thought better of it waiting.
  const started = await Promise.race([startService(service, await code, databaseUrl), end.requested]);
  if (started === null) return null;
  app = started;
  parts.push({ name: 'service', stop: async () => await started.stop() });
  const { address, port } = admin.address;
  const { host, database } = readTarget(databaseUrl);
  const store = postgres === null ? `Postgres at ${host}/${database}` : `embedded Postgres ${postgres.majorVersion} in ${config.dataDir}`;
  return `stint ${readVersion()} serves gRPC on ${started.grpcAddress} (admin ${formatAddress({ host: address, port })}, ${store})`;
}

/** Before all that is traced, so that it is stopped behind it. */
async function startTracing({ config, logger, parts }: Process): Promise<void> {
  if (config.tracing === null) return;
  const sdk = await import('./ops/tracing-sdk.ts');
  const onFailure = (told: string) => logger.warn({ part: 'tracing', told }, 'tracing has failed, and goes on');
  try {
    const tracing = await sdk.startTracing({ ...config.tracing, version: readVersion(), onFailure });
    parts.push({ name: 'tracing', stop: async () => await tracing.stop() });
  } catch (error) {
    throw error instanceof sdk.TracingNotInstalled ? new Refusal(error.message, { cause: error }) : error;
  }
}

async function startService({ config, logger, metrics, end }: Process, { startApp }: AppCode, databaseUrl: string): Promise<App> {
  try {
    if (config.databaseUrl !== null) await probePostgres(config.databaseUrl);
    const onUnfit = (unfit: Error) => end.request(1, storeWords(unfit, config) ?? unfit.message);
    const observers = config.tracing === null ? {} : { observers: TRACING };
    return await startApp({ config, databaseUrl, logger, metrics, onUnfit, ...observers });
  } catch (error) {
    const words = isListenError(error) ? `STINT_LISTEN: ${error.message}` : storeWords(error, config);
    throw words === null ? error : new Refusal(words, { cause: error });
  }
}

/** By its name: what declares it comes with the code that is read late. */
function isListenError(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ListenError';
}

/** Only what the caller named is the caller's to mend. */
function storeWords(error: unknown, { databaseUrl, directDatabaseUrl }: Config): string | null {
  return databaseUrl === null ? null : describeStoreFailure(error, databaseUrl, directDatabaseUrl);
}

async function startAdmin(config: Config, metrics: Metrics, isReady: () => boolean): Promise<AdminServer> {
  return await startAdminServer({ ...config.adminListen, isReady, metrics: () => metrics.expose() }).catch((error: unknown) => {
    const words = describeListenFailure(error, { setting: 'STINT_ADMIN_LISTEN', address: formatAddress(config.adminListen) });
    throw words === null ? error : new Refusal(words, { cause: error });
  });
}

async function startPostgres({ config, logger, parts, end }: Process): Promise<EmbeddedPostgres> {
  const log = logger.child({ part: 'postgres' });
  const postgres = await startEmbeddedPostgres({
    dataDir: config.dataDir,
    // At the end it complains of each connection that it has to cut.
    log: (line) => (/^(WARNING|ERROR|FATAL|PANIC):/.test(line) && !end.isRequested() ? log.warn(line) : log.debug(line)),
  });
  parts.push({ name: 'embedded Postgres', stop: async () => await postgres.stop() });
  void postgres.exited.then(() => {
    if (end.isRequested()) return;
    logger.fatal('the embedded Postgres ended by itself');
    end.request(1);
  });
  return postgres;
}

function refusalOf(error: unknown, logger: Logger): string {
  if (error instanceof Refusal || error instanceof EmbeddedPostgresError) return error.message;
  logger.fatal({ err: error }, 'the service could not start');
  return 'the service could not start: the log entry above tells why';
}

/** The wish to end, from wherever it comes. */
class End {
  exitCode = 0;
  /** Why, in one line, where it was no signal. */
  refusal: string | null = null;
  readonly requested: Promise<null>;
  #settle: (nothing: null) => void = () => undefined;
  #sinceMs: number | null = null;

  constructor(logger: Logger) {
    this.requested = new Promise((resolve) => {
      this.#settle = resolve;
    });
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => this.#onSignal(name, logger));
    // Rejections that nobody handles arrive here too.
    process.on('uncaughtException', (error, origin) => {
      logger.fatal({ err: error, origin }, 'something failed that nobody was waiting for');
      this.request(1);
    });
  }

  isRequested(): boolean {
    return this.#sinceMs !== null;
  }

  /** Again and again if need be: the worst exit code stays. */
  request(exitCode: number, refusal: string | null = null): void {
    this.refusal ??= refusal;
    this.exitCode = Math.max(this.exitCode, exitCode);
    if (this.#sinceMs !== null) return;
    this.#sinceMs = performance.now();
    // A part that hangs must not hold the process; the embedded Postgres stops when its leash is let go.
    setTimeout(() => process.exit(1), STOP_LIMIT_MS).unref();
    this.#settle(null);
  }

  #onSignal(signal: string, logger: Logger): void {
    if (this.#sinceMs !== null && performance.now() - this.#sinceMs >= FORCE_AFTER_MS) {
      logger.warn({ signal }, 'told twice: ending at once');
      process.exit(1);
    }
    if (!this.isRequested()) logger.info({ signal }, 'stopping');
    this.request(0);
  }
}

void main();
