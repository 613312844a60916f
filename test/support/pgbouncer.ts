import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { chooseAccount } from '../../src/embedded/account.ts';
import { findLastingPort } from './lasting-port.ts';

const START_LIMIT_MS = 10_000;

/** Null where there is none: a Debian package, and no part of what the tests bring along. */
export function findPgbouncer(): string | null {
  const named = process.env['STINT_TEST_PGBOUNCER'] ?? '';
  return [named, '/usr/sbin/pgbouncer', '/usr/bin/pgbouncer'].find((file) => file !== '' && existsSync(file)) ?? null;
}

/** Before a server of the tests, lending its sessions for a transaction each; gives all databases of it by their names. */
export class Pgbouncer {
  /** Of the database that the server's url names. */
  readonly url: string;
  readonly #folder: string;
  readonly #child: ChildProcess;

  private constructor(url: string, folder: string, child: ChildProcess) {
    this.url = url;
    this.#folder = folder;
    this.#child = child;
  }

  /** `poolSize`: the sessions that it holds for a database; `passesOver`: settings at the begin of a session that it drops in silence. */
  static async before(
    serverUrl: string,
    { poolSize = 20, passesOver = '' }: { readonly poolSize?: number; readonly passesOver?: string } = {},
  ): Promise<Pgbouncer> {
    const program = findPgbouncer();
    if (program === null) throw new Error('there is no pgbouncer: apt-get install pgbouncer');
    const { hostname, port, username, password, pathname } = new URL(serverUrl);
    const own = await findLastingPort();
    const folder = mkdtempSync(join(tmpdir(), 'stint-pgbouncer-'));
    chmodSync(folder, 0o755);
    const file = join(folder, 'pgbouncer.ini');
    const lines = [
      ...['[databases]', `* = host=${hostname} port=${port} user=${username} password=${decodeURIComponent(password)}`],
      ...['[pgbouncer]', 'listen_addr = 127.0.0.1', `listen_port = ${own}`, 'unix_socket_dir =', 'auth_type = any'],
      ...[
        'pool_mode = transaction',
        'max_client_conn = 1000',
        `default_pool_size = ${poolSize}`,
        'log_connections = 0',
        'log_disconnections = 0',
      ],
      ...(passesOver === '' ? [] : [`ignore_startup_parameters = ${passesOver}`]),
    ];
    writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o644 });
    // It refuses to run as root.
    const account = process.getuid?.() === 0 ? await chooseAccount(null) : {};
    const child = spawn(program, [file], { stdio: 'ignore', ...account });
    const pooler = new Pgbouncer(`postgres://${username}@127.0.0.1:${own}${pathname}`, folder, child);
    await pooler.#untilListening(own);
    return pooler;
  }

  async stop(): Promise<void> {
    const ended = this.#child.exitCode !== null || new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await ended;
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #untilListening(port: number): Promise<void> {
    const deadline = performance.now() + START_LIMIT_MS;
    while (!(await isTaken(port))) {
      if (performance.now() > deadline || this.#child.exitCode !== null) throw new Error('pgbouncer does not listen');
      await delay(20);
    }
  }
}

function isTaken(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
