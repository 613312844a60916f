import postgres, { type Sql, type TransactionSql } from 'postgres';
import type { PoolState, StatementObserver } from '../engine/ports/statement-observer.ts';
import { StoreError } from '../engine/ports/store-error.ts';
import { isConnectionLoss, isUnprepared, storeError } from './driver-error.ts';
import type { Row } from './row.ts';
import { parseStandby, preambleOf, type Session, sessionSettings, type SessionSettings } from './session.ts';
import type { Statement, Value } from './statement.ts';
import { Turns } from './turns.ts';

/** Longer than any statement takes, shorter than a caller waits: past it the connection is taken for dead. */
const QUERY_DEADLINE_MS = 15_000;
const CONNECT_TIMEOUT_S = 5;
const CLOSE_TIMEOUT_S = 2;

export interface DatabaseOptions {
  readonly url: string;
  readonly connections: number;
  readonly applicationName: string;
  /** `hot` pins plans for the short statements of the request path; `plain` is for upkeep and long reads. */
  readonly settings: 'hot' | 'plain';
  /** Default: `own`. */
  readonly session?: Session;
  /** Default: 15 s. */
  readonly queryDeadlineMs?: number;
  /** Called when the server that answers has no epoch yet, or no partitions for today; the statement is then tried once more. */
  readonly onUnprepared?: (() => Promise<void>) | undefined;
  /** Who watches the statements. Default: nobody. */
  readonly observer?: StatementObserver | undefined;
}

/** Every namespace lives on the one shard there is. A shard is a Postgres of its own, so each database binds its own number. */
export const ONLY_SHARD = 0;

export type Values<P extends string> = Readonly<Record<P, Value>>;

/** Tells who watches of a statement that is sent. */
type Watch = (statement: { readonly name: string }, send: () => Promise<readonly Row[]>) => Promise<readonly Row[]>;

/** Runs one statement, in a transaction of its own or in the one it was handed for. */
export type Run = <P extends string>(statement: Statement<P>, values: Values<P>) => Promise<readonly Row[]>;

/**
 * A pool of connections of one purpose. Every query has a deadline; when a connection fails all clients are
 * replaced, because the driver may hand the next query a stale error or nothing at all (postgres.js #1130, #1142).
 * Queries wait for a connection here and not in the driver, which sends what finds none free behind another query: a
 * BEGIN that it sends so begins a transaction that nobody ends, and what comes next on that connection is answered and lost.
 *
 * Each client of the driver has one connection, so that the choice is ours: the driver takes the one that has been idle for longest,
 * whose plans no cache holds any more. Here it is the first that is free: where few are needed, the same few are, and the others sleep.
 */
export class Database {
  readonly #options: DatabaseOptions;
  readonly #turns: Turns;
  #clients: readonly Client[];

  constructor(options: DatabaseOptions) {
    this.#options = options;
    this.#turns = new Turns({ atOnce: options.connections, limitMs: deadlineOf(options) });
    this.#clients = connectEach(options);
  }

  readonly run: Run = (statement, values) => this.#guarded((client) => runAlone(client, this.#watch, statement, values));

  /** All statements that `work` runs commit together; its refusal to go on (a throw) undoes them. */
  transaction<T>(work: (run: Run) => Promise<T>): Promise<T> {
    return this.#guarded((client) => inTransaction(client, this.#watch, work));
  }

  async close(): Promise<void> {
    await endAll(this.#clients);
  }

  get state(): PoolState {
    const open = this.#clients.filter(({ isOpen, hasLost }) => isOpen && !hasLost).length;
    const inUse = this.#clients.filter(({ isFree }) => !isFree).length;
    const { applicationName: name, connections } = this.#options;
    return { name, connections, open, inUse, waiting: this.#turns.waiting };
  }

  readonly #watch: Watch = async (statement, send) => {
    const end = this.#options.observer?.begin({ name: statement.name, pool: this.#options.applicationName });
    try {
      const rows = await send();
      end?.(null);
      return rows;
    } catch (error) {
      end?.(toStoreError(error));
      throw error;
    }
  };

  async #guarded<T>(work: (client: Client) => Promise<T>): Promise<T> {
    try {
      return await this.#inTurn(work);
    } catch (error) {
      if (!isUnprepared(error) || this.#options.onUnprepared === undefined) throw toStoreError(error);
    }
    await this.#options.onUnprepared();
    return this.#inTurn(work).catch((error: unknown) => {
      throw toStoreError(error);
    });
  }

  async #inTurn<T>(work: (client: Client) => Promise<T>): Promise<T> {
    if (!(await this.#turns.take())) throw new StoreError('unavailable', 'no connection to the database came free in time');
    try {
      return await this.#once(work);
    } finally {
      this.#turns.release();
    }
  }

  async #once<T>(work: (client: Client) => Promise<T>): Promise<T> {
    if (this.#clients.some(({ hasLost }) => hasLost)) this.#replace(this.#clients);
    const clients = this.#clients;
    // There are as many as there are turns.
    const client = clients.find(({ isFree }) => isFree);
    if (client === undefined) throw new Error('no client is free, though it is a turn of one');
    client.isFree = false;
    client.isOpen = true;
    let timer: NodeJS.Timeout | undefined;
    let overdue: StoreError | null = null;
    const deadline = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        overdue = new StoreError('unavailable', 'the database did not answer in time');
        reject(overdue);
      }, deadlineOf(this.#options));
    });
    try {
      const outcome = await Promise.race([work(client), deadline]);
      if (isStandby(client)) throw new StandbyAnswered();
      return outcome;
    } catch (error) {
      if (error === overdue || error instanceof StandbyAnswered || (isDriverError(error) && isConnectionLoss(error)))
        this.#replace(clients);
      throw error;
    } finally {
      clearTimeout(timer);
      client.isFree = true;
    }
  }

  #replace(failed: readonly Client[]): void {
    if (this.#clients !== failed) return;
    this.#clients = connectEach(this.#options);
    // Its failures were told already, by the queries they ended.
    endAll(failed).catch(() => undefined);
  }
}

/** What a standby tells may be old, or of another history than the one that it will be promoted to. */
class StandbyAnswered extends StoreError {
  constructor() {
    super('unavailable', 'the database is a standby');
  }
}

/** As the server told when it was connected to, or since: from version 14 on it reports it. */
function isStandby({ sql }: Client): boolean {
  return sql.parameters['in_hot_standby'] === 'on';
}

/** What the driver threw, translated; what our own code threw inside a transaction, as it is. */
function toStoreError(error: unknown): unknown {
  return isDriverError(error) ? storeError(error) : error;
}

function isDriverError(error: unknown): boolean {
  return error instanceof Error && 'code' in error;
}

function deadlineOf({ queryDeadlineMs = QUERY_DEADLINE_MS }: DatabaseOptions): number {
  return queryDeadlineMs;
}

/** In the driver's manner: an error of it has a code. */
class ConnectionLost extends Error {
  readonly code = 'CONNECTION_LOST';

  constructor() {
    super('a connection to the database was lost');
  }
}

/** A client of the driver, with one connection. */
interface Client {
  readonly sql: Sql;
  /** Its connection was closed since it was made. */
  hasLost: boolean;
  isFree: boolean;
  readonly session: Session;
  /** What a session that is lent is told at the begin of each transaction. */
  readonly preamble: string;
  /** It was used, and with that connected. */
  isOpen: boolean;
}

/** Clients that are replaced together. */
function connectEach(options: DatabaseOptions): readonly Client[] {
  return Array.from({ length: options.connections }, () => connect(options));
}

async function endAll(clients: readonly Client[]): Promise<void> {
  await Promise.all(clients.map(({ sql }) => sql.end({ timeout: CLOSE_TIMEOUT_S })));
}

/**
 * In the driver's `begin`, but that it never learns of a connection that was closed: it would send a ROLLBACK there all the same, from a
 * callback in which its failure ends the process, as does any short statement. From the last check of a connection to what is sent on
 * it no turn of the event loop passes, so none closes in between.
 */
function inTransaction<T>(client: Client, watch: Watch, work: (run: Run) => Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const check = () => {
      if (client.hasLost) throw new ConnectionLost();
    };
    const body = async (connection: TransactionSql) => {
      try {
        if (client.session === 'lends') await prepareSession(connection, client.preamble);
        const outcome = await work(async (statement, values) => {
          check();
          return await watch(statement, () =>
            connection.unsafe<Row[]>(statement.text, bind(statement, values), { prepare: client.session === 'own' }),
          );
        });
        check();
        return { value: outcome };
      } catch (error) {
        if (!client.hasLost && !(isDriverError(error) && isConnectionLoss(error))) throw error;
        reject(error instanceof Error ? error : new ConnectionLost());
        return new Promise<never>(() => undefined);
      }
    };
    client.sql.begin(body).then(({ value }) => resolve(value), reject);
  });
}

async function runAlone<P extends string>(
  client: Client,
  watch: Watch,
  statement: Statement<P>,
  values: Values<P>,
): Promise<readonly Row[]> {
  if (client.session === 'lends') return await inTransaction(client, watch, (run) => run(statement, values));
  return await watch(statement, () =>
    client.sql.unsafe<Row[]>(statement.text, bind(statement, values), { prepare: client.session === 'own' }),
  );
}

/** A pooler passes nothing on of what the server tells of itself, so that it is asked. */
async function prepareSession(connection: TransactionSql, preamble: string): Promise<void> {
  if (parseStandby(await connection.unsafe(preamble))) throw new StandbyAnswered();
}

export function bind<P extends string>(statement: Statement<P>, values: Values<P>): Value[] {
  return statement.parameters.map((name) => (name === 'shard' ? ONLY_SHARD : values[name]));
}

/** No more queries are sent at once than there are connections; 0 would break transactions all the same. Missing in the driver's types. */
const UNPIPELINED = { max_pipeline: 1 };

function connect(options: DatabaseOptions): Client {
  const settings = sessionSettings(options.settings, deadlineOf(options));
  const session = options.session ?? 'own';
  const sql = driver(options, session === 'own' ? settings : {}, () => (client.hasLost = true));
  const client = { sql, hasLost: false, isFree: true, isOpen: false, session, preamble: preambleOf(settings) };
  return client;
}

function driver(options: DatabaseOptions, settings: SessionSettings, onclose: () => void): Sql {
  return postgres(options.url, {
    ...UNPIPELINED,
    onclose,
    // Its COMMIT too: a plan that another session keeps fails there, the driver sends it again, and what it then ends is an aborted transaction.
    prepare: options.session === undefined || options.session === 'own',
    // A connection that closes is one that was lost.
    max_lifetime: null,
    max: 1,
    connect_timeout: CONNECT_TIMEOUT_S,
    fetch_types: false,
    onnotice: () => undefined,
    types: {
      // Dates lose microseconds: instants stay text until row.ts parses them.
      date: { to: 1184, from: [1082, 1114, 1184], serialize: String, parse: (value: string) => value },
    },
    connection: { application_name: options.applicationName, ...settings },
  });
}
