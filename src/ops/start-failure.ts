import { codeOf } from './error-summary.ts';

const CAUSES_FOLLOWED = 5;

/**
 * One line for whoever started the service: what stands between it and its database, and how to mend that. Null for
 * what is not expected to go wrong; a message of the database, which may hold a statement's values, is never told.
 */
export function describeStoreFailure(error: unknown, databaseUrl: string, directUrl: string | null = null): string | null {
  const chain = causesOf(error);
  const isDirect = directUrl !== null && findKind(chain, 'direct_database') !== null;
  const words = describeFailure(chain, readTarget(isDirect ? directUrl : databaseUrl));
  return words === null ? null : `${isDirect ? 'STINT_DIRECT_DATABASE_URL' : 'DATABASE_URL'}: ${words}`;
}

function describeFailure(chain: readonly unknown[], target: Target): string | null {
  for (const cause of chain) {
    const words = databaseRefusal(codeOf(cause), target);
    if (words !== null) return words;
  }
  const { host } = target;
  const unfit = findKind(chain, 'unfit_server');
  if (unfit !== null) return `${host}: ${unfit.message}`;
  // The driver tries again without end where a connection is taken and then dropped, until our own deadline.
  if (findKind(chain, 'unavailable') === null) return null;
  return `${host} does not answer as a Postgres does: correct the host and port`;
}

/** The errors of storage have a kind. */
function findKind(chain: readonly unknown[], kind: string): Error | null {
  for (const cause of chain) if (cause instanceof Error && 'kind' in cause && cause.kind === kind) return cause;
  return null;
}

/** The setting that names the address, for the words of a refusal. */
export interface ListenContext {
  readonly setting: string;
  readonly address: string;
}

/** Null when it is no failure to listen. */
export function describeListenFailure(error: unknown, { setting, address }: ListenContext): string | null {
  switch (codeOf(error)) {
    case 'EADDRINUSE':
      return `${setting}: ${address} is taken: stop what listens there, or set ${setting} to another HOST:PORT`;
    case 'EADDRNOTAVAIL':
      return `${setting}: ${address} is no address of this machine: choose another host`;
    case 'EACCES':
      return `${setting}: ${address} needs rights that this user lacks: choose a port from 1024 on`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `${setting}: ${address} does not resolve: choose another host`;
    default:
      return null;
  }
}

function causesOf(error: unknown): unknown[] {
  const chain = [error];
  for (let cause = error; cause instanceof Error && cause.cause !== undefined && chain.length < CAUSES_FOLLOWED;) {
    cause = cause.cause;
    chain.push(cause);
  }
  // A host with several addresses fails once for each; the first failure stands for all.
  const last = chain.at(-1);
  const all: readonly unknown[] = last instanceof AggregateError ? last.errors : [];
  return [...chain, ...all.slice(0, 1)];
}

interface Target {
  readonly host: string;
  readonly user: string;
  readonly database: string;
}

/** Never the password. */
export function readTarget(databaseUrl: string): Target {
  const url = new URL(databaseUrl);
  const user = decodeURIComponent(url.username);
  return { host: url.host, user, database: decodeURIComponent(url.pathname.slice(1)) || user };
}

/** SQLSTATE codes: PostgreSQL manual, appendix A; the others are Node's, OpenSSL's and the driver's. */
const refusals: Record<string, (target: Target) => string> = {
  ECONNREFUSED: ({ host }) => `nothing listens at ${host}: start Postgres there, or correct the host and port`,
  ENOTFOUND: ({ host }) => `the host of ${host} is unknown: correct its name`,
  EAI_AGAIN: ({ host }) => `the host of ${host} cannot be looked up: correct its name, or mend the name service`,
  CONNECT_TIMEOUT: ({ host }) => `${host} does not answer: correct the host and port, or let its firewall admit this machine`,
  NOT_POSTGRES: ({ host }) => `what listens at ${host} is not a Postgres: correct the host and port`,
  ETIMEDOUT: ({ host }) => `${host} does not answer: correct the host and port, or let its firewall admit this machine`,
  EHOSTUNREACH: ({ host }) => `there is no way to ${host}: correct the host, or mend the network`,
  ENETUNREACH: ({ host }) => `there is no way to ${host}: correct the host, or mend the network`,
  ECONNRESET: ({ host }) => `${host} hung up: what listens there may not be Postgres, or it wants TLS (add ?sslmode=require)`,
  CONNECTION_CLOSED: ({ host }) => `${host} hung up: what listens there may not be Postgres, or it wants TLS (add ?sslmode=require)`,
  '28P01': ({ user }) => `the password of user "${user}" is wrong: correct it`,
  '28000': ({ user }) => `user "${user}" may not log in: correct the user, or admit it in pg_hba.conf`,
  '3D000': ({ database }) => `there is no database "${database}": create it, or correct the name`,
  '42501': ({ user, database }) => `user "${user}" may not create tables in database "${database}": grant it CREATE there`,
  '08P01': ({ host }) => `a pooler at ${host} refused the connection: set STINT_POOLER=transaction if it is one, and see its log`,
  '25006': ({ host }) => `${host} is a standby that only reads: give the address of the primary`,
  '53300': ({ host }) => `${host} has no connection left: raise its max_connections, or close some`,
  '55P03': ({ host }) => `${host}: a table stayed locked: end the transaction that holds it, see pg_stat_activity, then try again`,
  '57P03': ({ host }) => `${host} is starting up or shutting down: try again when it is ready`,
};

function databaseRefusal(code: string | null, target: Target): string | null {
  if (code === null) return null;
  const words = refusals[code];
  if (words !== undefined) return words(target);
  if (/CERT|SELF_SIGNED|TLS|SSL/.test(code)) {
    return `no trusted TLS connection to ${target.host} (${code}): name its CA in NODE_EXTRA_CA_CERTS, or correct sslmode`;
  }
  return null;
}
