import { BlockList, isIP, isIPv6 } from 'node:net';
import { z } from 'zod';
import { JOURNAL_RETENTION_DAYS } from './domain/retention.ts';

/** What the service is told from outside, checked. Nothing else of the environment is read. */
export interface Config {
  readonly listen: Address;
  readonly adminListen: Address;
  /** Null starts the embedded Postgres. Holds a password: never to be logged. */
  readonly databaseUrl: string | null;
  /** What stands at `databaseUrl`: Postgres itself, or a pooler that lends a session for a transaction. */
  readonly pooler: 'none' | 'transaction';
  /** Of the server behind the pooler. Null: nothing goes by it. Holds a password too. */
  readonly directDatabaseUrl: string | null;
  /** Whether the service brings the schema up to date when it starts; of the embedded Postgres it always does. */
  readonly migrates: boolean;
  readonly dataDir: string;
  readonly logLevel: LogLevel;
  /** How long the log of events is kept. */
  readonly journalRetentionDays: number;
  readonly connectionLife: ConnectionLife;
  /** Queues that metrics tell by name, those with the most jobs. */
  readonly metricsQueues: number;
  /** Null: nothing is traced. Where spans go, which of them, and under what name, the SDK reads for itself. */
  readonly tracing: { readonly protocol: TracingProtocol } | null;
}

/** How clients' connections are renewed. */
export interface ConnectionLife {
  /** Within a tenth of it a connection is ended. Null: never for its age. */
  readonly ageMs: number | null;
  /** From then on its calls may take so long. */
  readonly graceMs: number;
}

export interface Address {
  /** Without the brackets of an IPv6 address. */
  readonly host: string;
  /** 0 takes any that is free. */
  readonly port: number;
}

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

const tracingProtocols = ['http/protobuf', 'grpc'] as const;
export type TracingProtocol = (typeof tracingProtocols)[number];

export type ConfigReading =
  | { readonly kind: 'config'; readonly config: Config }
  /** One line for each mistake: the name, what is wrong, what it should be. */
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

const SECOND_MS = 1_000;

const addressHint = 'must be HOST:PORT, as in 127.0.0.1:50051 or [::1]:50051';

const address = z.string().transform((text, context): Address => {
  const parsed = parseAddress(text);
  if (parsed !== null) return parsed;
  context.addIssue({ code: 'custom', message: `${addressHint}, not ${JSON.stringify(text)}` });
  return z.NEVER;
});

const databaseUrl = z
  .string()
  // The message does not repeat the value: it may hold a password.
  .refine(isPostgresUrl, 'must be a URL such as postgres://user:password@host:5432/database')
  .nullable();

interface Range {
  readonly min: number;
  readonly max: number;
}

const CONNECTION_AGE_SECONDS = { min: 10, max: 86_400, default: 600 };
const CONNECTION_GRACE_SECONDS = { min: 1, max: 3_600, default: 60 };

const ageHint = `${mustBeWhole('seconds', CONNECTION_AGE_SECONDS)}, or 0 for never`;

const retentionDays = wholeNumber(JOURNAL_RETENTION_DAYS, mustBeWhole('days', JOURNAL_RETENTION_DAYS));
const connectionAgeSeconds = z.union([z.literal('0').transform(() => null), wholeNumber(CONNECTION_AGE_SECONDS, ageHint)], {
  error: ageHint,
});
const connectionGraceSeconds = wholeNumber(CONNECTION_GRACE_SECONDS, mustBeWhole('seconds', CONNECTION_GRACE_SECONDS));

function wholeNumber({ min, max }: Range, hint: string) {
  return z
    .string()
    .regex(/^[1-9]\d{0,4}$/, hint)
    .transform(Number)
    .refine((value) => value >= min && value <= max, hint);
}

function mustBeWhole(unit: string, { min, max }: Range): string {
  return `must be a whole number of ${unit} from ${min} to ${max}`;
}

const yesOrNo = z.enum(['true', 'false'], 'must be true or false').transform((text) => text === 'true');

/** Set for all that runs beside us, it may say what is nothing to us: judged where tracing is on. */
const openTelemetry = z.string().nullable().default(null);

/** Each is a dozen of time series; past this a scraper has more of them than it is good for. */
const MAX_METRICS_QUEUES = 1_000;

const metricsQueues = z
  .string()
  .regex(/^\d{1,4}$/, `must be a whole number of queues from 0 to ${MAX_METRICS_QUEUES}`)
  .transform(Number)
  .refine((queues) => queues <= MAX_METRICS_QUEUES, `must be a whole number of queues from 0 to ${MAX_METRICS_QUEUES}`);

const DEFAULT_METRICS_QUEUES = 100;

const settings = z.object({
  STINT_LISTEN: address.prefault('127.0.0.1:50051'),
  STINT_ADMIN_LISTEN: address.prefault('127.0.0.1:9464'),
  STINT_INSECURE: yesOrNo.default(false),
  DATABASE_URL: databaseUrl.default(null),
  STINT_POOLER: z.enum(['none', 'transaction'], 'must be none or transaction').default('none'),
  STINT_DIRECT_DATABASE_URL: databaseUrl.default(null),
  STINT_MIGRATE: yesOrNo.default(true),
  STINT_DATA_DIR: z.string().default('.stint'),
  STINT_LOG_LEVEL: z.enum(logLevels, `must be one of ${logLevels.join(', ')}`).default('info'),
  STINT_JOURNAL_RETENTION_DAYS: retentionDays.default(JOURNAL_RETENTION_DAYS.default),
  STINT_CONNECTION_AGE_SECONDS: connectionAgeSeconds.default(CONNECTION_AGE_SECONDS.default),
  STINT_CONNECTION_GRACE_SECONDS: connectionGraceSeconds.default(CONNECTION_GRACE_SECONDS.default),
  OTEL_SDK_DISABLED: openTelemetry,
  OTEL_TRACES_EXPORTER: openTelemetry,
  OTEL_EXPORTER_OTLP_ENDPOINT: openTelemetry,
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: openTelemetry,
  OTEL_EXPORTER_OTLP_PROTOCOL: openTelemetry,
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: openTelemetry,
  OTEL_TRACES_SAMPLER: openTelemetry,
  OTEL_TRACES_SAMPLER_ARG: openTelemetry,
  STINT_METRICS_QUEUES: metricsQueues.default(DEFAULT_METRICS_QUEUES),
});

type Settings = z.infer<typeof settings>;

const knownNames = Object.keys(settings.shape);

/** What Kubernetes sets in every pod beside a service that is called `stint`. */
const foreignName = /^STINT_(SERVICE|PORT)(_|$)/;

/**
 * All mistakes at once. A name that is set to nothing counts as not set, as compose files leave it. Of who does not listen, addresses that
 * others reach are no mistake.
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>>, { listens = true } = {}): ConfigReading {
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''));
  const problems = Object.keys(given).filter(isUnknown).map(unknownName);
  const parsed = settings.safeParse(given);
  if (!parsed.success) problems.push(...parsed.error.issues.map(({ path, message }) => `${path.join('.')} ${message}`));
  if (!parsed.success) return { kind: 'refused', problems };
  const tracing = readTracing(parsed.data, problems);
  if (problems.length > 0) return { kind: 'refused', problems };
  const config: Config = {
    listen: parsed.data.STINT_LISTEN,
    adminListen: parsed.data.STINT_ADMIN_LISTEN,
    databaseUrl: parsed.data.DATABASE_URL,
    pooler: parsed.data.STINT_POOLER,
    directDatabaseUrl: parsed.data.STINT_DIRECT_DATABASE_URL,
    migrates: parsed.data.STINT_MIGRATE,
    dataDir: parsed.data.STINT_DATA_DIR,
    logLevel: parsed.data.STINT_LOG_LEVEL,
    journalRetentionDays: parsed.data.STINT_JOURNAL_RETENTION_DAYS,
    tracing,
    connectionLife: readConnectionLife(parsed.data),
    metricsQueues: parsed.data.STINT_METRICS_QUEUES,
  };
  problems.push(...contradictions(config));
  if (listens && !parsed.data.STINT_INSECURE) problems.push(...openToOthers(config));
  return problems.length > 0 ? { kind: 'refused', problems } : { kind: 'config', config };
}

function readConnectionLife(given: z.infer<typeof settings>): ConnectionLife {
  const { STINT_CONNECTION_AGE_SECONDS: age, STINT_CONNECTION_GRACE_SECONDS: grace } = given;
  return { ageMs: age === null ? null : age * SECOND_MS, graceMs: grace * SECOND_MS };
}

/** What each setting allows, and another one does not. */
function contradictions(config: Config): readonly string[] {
  const { listen, adminListen, databaseUrl: url, directDatabaseUrl, pooler, migrates, connectionLife } = config;
  const { ageMs, graceMs } = connectionLife;
  const all: readonly (readonly [boolean, string])[] = [
    [isSamePort(listen, adminListen), `STINT_ADMIN_LISTEN must not be the address of STINT_LISTEN (${formatAddress(listen)})`],
    [!migrates && url === null, 'STINT_MIGRATE=false needs DATABASE_URL: the embedded Postgres is brought up to date by the service alone'],
    [pooler !== 'none' && url === null, 'STINT_POOLER=transaction needs DATABASE_URL: the address of the pooler'],
    [
      pooler === 'none' && directDatabaseUrl !== null,
      'STINT_DIRECT_DATABASE_URL needs STINT_POOLER=transaction: without a pooler everything goes by DATABASE_URL',
    ],
    // A connection would be old before its forerunner is gone, and they would pile up.
    [
      ageMs !== null && graceMs > ageMs,
      `STINT_CONNECTION_GRACE_SECONDS (${graceMs / SECOND_MS}) must not be more than STINT_CONNECTION_AGE_SECONDS (${(ageMs ?? 0) / SECOND_MS})`,
    ],
  ];
  return all.flatMap(([isSo, words]) => (isSo ? [words] : []));
}

/** One line for all addresses that others than this machine reach: without TLS and identities that must be meant. */
function openToOthers({ listen, adminListen }: Config): readonly string[] {
  const named = { STINT_LISTEN: listen, STINT_ADMIN_LISTEN: adminListen };
  const open = Object.entries(named).filter(([, { host }]) => !isLoopback(host));
  if (open.length === 0) return [];
  const told = open.map(([name, address]) => `${name} (${formatAddress(address)})`).join(' and ');
  return [`${told} is open to other machines, without TLS or authentication: choose an address of loopback, or set STINT_INSECURE=true`];
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** Of names only the one that is loopback everywhere: what another one resolves to is not ours to know. */
function isLoopback(host: string): boolean {
  return isIP(host) === 0 ? host.toLowerCase() === 'localhost' : loopback.check(host, isIPv6(host) ? 'ipv6' : 'ipv4');
}

const samplers = ['always_on', 'always_off', 'traceidratio', 'parentbased_always_on', 'parentbased_always_off', 'parentbased_traceidratio'];

/** On where an exporter is named, or a place to export to; what the SDK would pass over in silence, or fall back from, is a problem. */
function readTracing(given: Settings, problems: string[]): Config['tracing'] {
  const endpoints = ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT'] as const;
  const exporter = given.OTEL_TRACES_EXPORTER ?? (endpoints.some((name) => given[name] !== null) ? 'otlp' : 'none');
  if (given.OTEL_SDK_DISABLED?.toLowerCase() === 'true' || exporter === 'none') return null;
  if (exporter !== 'otlp') problems.push('OTEL_TRACES_EXPORTER must be otlp or none');
  for (const name of endpoints) {
    if (given[name] !== null && !isWebUrl(given[name])) problems.push(`${name} must be a URL such as http://collector:4318`);
  }
  const named = given.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL === null ? 'OTEL_EXPORTER_OTLP_PROTOCOL' : 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL';
  const protocol = tracingProtocols.find((one) => one === (given[named] ?? 'http/protobuf'));
  if (protocol === undefined) problems.push(`${named} must be one of ${tracingProtocols.join(', ')}`);
  const sampler = given.OTEL_TRACES_SAMPLER ?? 'parentbased_always_on';
  if (!samplers.includes(sampler)) problems.push(`OTEL_TRACES_SAMPLER must be one of ${samplers.join(', ')}`);
  const ratio = Number(given.OTEL_TRACES_SAMPLER_ARG ?? '1');
  if (sampler.endsWith('ratio') && !(ratio >= 0 && ratio <= 1)) problems.push('OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1');
  return protocol === undefined ? null : { protocol };
}

function isWebUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}

function isUnknown(name: string): boolean {
  return name.startsWith('STINT_') && !knownNames.includes(name) && !foreignName.test(name);
}

function unknownName(name: string): string {
  const ours = knownNames.filter((known) => known.startsWith('STINT_'));
  const nearest = ours.toSorted((a, b) => editDistance(a, name) - editDistance(b, name))[0] ?? '';
  return `${name} is not a setting of Stint: did you mean ${nearest}? Otherwise unset it`;
}

/** Levenshtein 1966: single characters put in, left out or exchanged. */
function editDistance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (const [row, letter] of [...a].entries()) {
    const line = [row + 1];
    for (const [column, other] of [...b].entries()) {
      const exchanged = (above[column] ?? 0) + (letter === other ? 0 : 1);
      line.push(Math.min(exchanged, (above[column + 1] ?? 0) + 1, (line[column] ?? 0) + 1));
    }
    above = line;
  }
  return above[b.length] ?? 0;
}

/** `host:port`, `1.2.3.4:port` or `[ipv6]:port`. */
function parseAddress(text: string): Address | null {
  const match = /^(?:\[(?<ipv6>[^\]]+)\]|(?<name>[A-Za-z0-9._-]+)):(?<port>\d{1,5})$/.exec(text);
  const { ipv6, name, port } = match?.groups ?? {};
  const host = ipv6 ?? name;
  if (host === undefined || (ipv6 !== undefined && !isIPv6(ipv6)) || Number(port) > 65_535) return null;
  return { host, port: Number(port) };
}

/** The inverse of what the settings take; grpc-js and URLs want the same form. */
export function formatAddress({ host, port }: Address): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

function isSamePort(a: Address, b: Address): boolean {
  return a.port !== 0 && a.port === b.port && a.host === b.host;
}

function isPostgresUrl(text: string): boolean {
  try {
    const url = new URL(text);
    // Throws on a lone %, which the driver would stumble over.
    for (const part of [url.username, url.password, url.pathname]) decodeURIComponent(part);
    return (url.protocol === 'postgres:' || url.protocol === 'postgresql:') && url.hostname !== '';
  } catch {
    return false;
  }
}
