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
}

export interface Address {
  /** Without the brackets of an IPv6 address. */
  readonly host: string;
  /** 0 takes any that is free. */
  readonly port: number;
}

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

export type ConfigReading =
  | { readonly kind: 'config'; readonly config: Config }
  /** One line for each mistake: the name, what is wrong, what it should be. */
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

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

const { min, max } = JOURNAL_RETENTION_DAYS;

const retentionDays = z
  .string()
  .regex(/^\d{1,4}$/, `must be a whole number of days from ${min} to ${max}`)
  .transform(Number)
  .refine((days) => days >= min && days <= max, `must be a whole number of days from ${min} to ${max}`);

const yesOrNo = z.enum(['true', 'false'], 'must be true or false').transform((text) => text === 'true');

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
});

const knownNames = Object.keys(settings.shape);

/** What Kubernetes sets in every pod beside a service that is called `stint`. */
const foreignName = /^STINT_(SERVICE|PORT)(_|$)/;

/** All mistakes at once. A name that is set to nothing counts as not set, as compose files leave it. */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): ConfigReading {
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''));
  const problems = Object.keys(given).filter(isUnknown).map(unknownName);
  const parsed = settings.safeParse(given);
  if (!parsed.success) problems.push(...parsed.error.issues.map(({ path, message }) => `${path.join('.')} ${message}`));
  if (!parsed.success || problems.length > 0) return { kind: 'refused', problems };
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
  };
  problems.push(...contradictions(config));
  if (!parsed.data.STINT_INSECURE) problems.push(...openToOthers(config));
  return problems.length > 0 ? { kind: 'refused', problems } : { kind: 'config', config };
}

/** What each setting allows, and another one does not. */
function contradictions({ listen, adminListen, databaseUrl: url, directDatabaseUrl, pooler, migrates }: Config): readonly string[] {
  const all: readonly (readonly [boolean, string])[] = [
    [isSamePort(listen, adminListen), `STINT_ADMIN_LISTEN must not be the address of STINT_LISTEN (${formatAddress(listen)})`],
    [!migrates && url === null, 'STINT_MIGRATE=false needs DATABASE_URL: the embedded Postgres is brought up to date by the service alone'],
    [pooler !== 'none' && url === null, 'STINT_POOLER=transaction needs DATABASE_URL: the address of the pooler'],
    [
      pooler === 'none' && directDatabaseUrl !== null,
      'STINT_DIRECT_DATABASE_URL needs STINT_POOLER=transaction: without a pooler everything goes by DATABASE_URL',
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
