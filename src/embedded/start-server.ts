import { setTimeout as delay } from 'node:timers/promises';
import { EmbeddedPostgresError } from './error.ts';
import { awaitFolderFree, inUseElsewhere } from './former-server.ts';
import { findFreePort } from './free-port.ts';
import type { Runner } from './runner.ts';
import { readServerFile } from './server-file.ts';
import { chooseSettings, type Settings } from './settings.ts';
import { type Exit, folderLockedExit, type SupervisedServer, superviseServer } from './supervisor.ts';

/** Somebody else takes the free port in between: rare, so more in a row means that something else is wrong. */
const PORT_ATTEMPTS = 5;

/** The last processes of a killed server, or a start at the same moment, hold the lock of the folder for less. */
const LOCK_WAIT_MS = 3_000;
const TRY_AGAIN_MS = 100;

/** Long enough to recover a full `max_wal_size` from a slow disk after a crash. */
const READY_LIMIT_MS = 300_000;
const LOOK_AGAIN_MS = 10;

export interface ServerWish {
  readonly runner: Runner;
  readonly clusterDir: string;
  /** Null takes a free one. */
  readonly port: number | null;
  readonly durable: boolean;
  readonly settings: Settings;
  readonly log: (line: string) => void;
}

export interface StartedServer {
  readonly server: SupervisedServer;
  readonly pid: number;
  readonly port: number;
}

/** Starts Postgres and waits until it answers, round the obstacles that pass: throws those that do not. */
export async function startServer(wish: ServerWish): Promise<StartedServer> {
  const { runner, clusterDir, durable, settings, log } = wish;
  const lockDeadline = performance.now() + LOCK_WAIT_MS;
  let portsTried = 0;
  let frugal = false;
  for (;;) {
    const stalePid = await awaitFolderFree(clusterDir);
    const port = wish.port ?? (await findFreePort());
    const chosen = chooseSettings({ durable, frugal, wanted: settings });
    const server = superviseServer({ runner, clusterDir, port, settings: chosen, stalePid, log });
    const outcome = await awaitReady(server, clusterDir);
    if (outcome.kind === 'ready') return { server, pid: outcome.pid, port };
    const obstacle = obstacleOf(outcome.exit);
    if (obstacle === 'port_taken' && wish.port === null && ++portsTried < PORT_ATTEMPTS) continue;
    if (obstacle === 'no_memory' && !frugal) {
      frugal = true;
      continue;
    }
    if (obstacle !== 'folder_locked' || performance.now() > lockDeadline) throw refusal(obstacle, wish, outcome.exit);
    await delay(TRY_AGAIN_MS);
  }
}

type Outcome = { readonly kind: 'ready'; readonly pid: number } | { readonly kind: 'exited'; readonly exit: Exit };

async function awaitReady(server: SupervisedServer, clusterDir: string): Promise<Outcome> {
  const deadline = performance.now() + READY_LIMIT_MS;
  const exited = server.exited.then((exit) => ({ kind: 'exited', exit }) as const);
  const pid = await server.pid;
  if (pid === null) return await exited;
  while (performance.now() < deadline) {
    const file = await readServerFile(clusterDir);
    // A file that a killed server left behind says "ready" too, but with another pid. One that follows another server says "standby".
    if (file?.pid === pid && ['ready', 'standby'].includes(file.status)) return { kind: 'ready', pid };
    const outcome = await Promise.race([exited, delay(LOOK_AGAIN_MS, null)]);
    if (outcome !== null) return outcome;
  }
  server.signal('QUIT');
  return await exited;
}

type Obstacle = 'folder_locked' | 'port_taken' | 'no_memory' | 'other';

/** Postgres tells these only in words; they are the same in every locale, because its own is fixed to C. */
function obstacleOf({ code, log }: Exit): Obstacle {
  if (code === folderLockedExit) return 'folder_locked';
  if (/lock file .* already exists|pre-existing shared memory block/.test(log)) return 'folder_locked';
  if (/could not bind|could not create any TCP\/IP sockets/.test(log)) return 'port_taken';
  if (/could not (map anonymous|create) shared memory/.test(log)) return 'no_memory';
  return 'other';
}

function refusal(obstacle: Obstacle, { clusterDir, port }: ServerWish, { code, log }: Exit): EmbeddedPostgresError {
  if (obstacle === 'folder_locked') return inUseElsewhere(clusterDir);
  if (obstacle === 'port_taken') {
    return new EmbeddedPostgresError(
      'port_taken',
      `port ${port ?? 'for Postgres'} is taken: choose another one, or stop what listens there`,
    );
  }
  const reason = fatalLine(log) ?? `exit code ${code ?? 'unknown'}`;
  return new EmbeddedPostgresError(
    'start_failed',
    `the embedded Postgres did not start on ${clusterDir} (${reason}): mend that, set STINT_DATA_DIR to another folder, or set DATABASE_URL`,
  );
}

function fatalLine(log: string): string | null {
  const lines = log.split('\n').filter((line) => /^(FATAL|PANIC):/.test(line));
  return lines.at(-1)?.replace(/^(FATAL|PANIC):\s*/, '') ?? (log.trim() === '' ? null : (log.trim().split('\n').at(-1) ?? null));
}
