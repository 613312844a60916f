import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { postgresOf } from './binaries.ts';
import { cleanEnvironment } from './command.ts';
import { systemCode } from './error.ts';
import type { Runner } from './runner.ts';
import { servicePidSetting } from './server-file.ts';
import type { Settings } from './settings.ts';

/** The folder is locked: a server runs on it that its pid file does not show, as in another container. */
export const folderLockedExit = 75;

/**
 * Stands between us and Postgres and holds the other end of a pipe. The kernel closes that pipe however we die, and
 * then Postgres shuts down, cut short where it does not get there by itself (one that was recovering can stay in
 * "stopping" for ever); as long as we live, a line on the pipe is a signal to send. When Postgres goes earlier, TERM ends
 * the leash and its nap with it, also between the two lines that begin the nap.
 * The shell says on the pipe of the log that Postgres was killed; when nobody reads that any more, it must not die of it.
 * The lock on the folder is inherited by each server process, so it is held until the very last of them is gone.
 */
const script = `
exec 3<&0 4<"$1"
if command -v flock >/dev/null; then
  flock -n -E ${folderLockedExit} 4
  [ $? -eq ${folderLockedExit} ] && exit ${folderLockedExit}
fi
limit=$2
shift 2
"$@" -c ${servicePidSetting}="$PPID" </dev/null >&2 3<&- &
postgres=$!
echo "$postgres"
(
  while read -r signal; do kill -s "$signal" "$postgres"; done
  kill -s INT "$postgres"
  gone=
  nap=
  trap 'gone=yes; kill "$nap"' TERM
  sleep "$limit" &
  nap=$!
  [ "$gone" ] && kill "$nap"
  wait "$nap"
  [ "$gone" ] || kill -s QUIT "$postgres"
) <&3 4<&- >/dev/null 2>&1 &
leash=$!
exec 3<&-
trap '' PIPE
wait "$postgres"
code=$?
kill "$leash"
wait "$leash"
exit "$code"
`;

export interface Exit {
  readonly code: number | null;
  /** The last lines that it wrote. */
  readonly log: string;
}

export interface SupervisedServer {
  /** Of Postgres itself, not of what supervises it; null when it exited before it was there. */
  readonly pid: Promise<number | null>;
  readonly exited: Promise<Exit>;
  /** INT shuts down fast and cleanly; QUIT at once, with a recovery at the next start. */
  signal(name: 'INT' | 'QUIT'): void;
}

export interface ServerStart {
  readonly runner: Runner;
  readonly clusterDir: string;
  readonly port: number;
  readonly settings: Settings;
  /** A pid in the pid file that is known to belong to an unrelated process. */
  readonly stalePid: number | null;
  readonly log: (line: string) => void;
  /** Whole seconds. Default: 30. */
  readonly orphanLimitSeconds?: number;
}

/** A fast shutdown writes one checkpoint; an orphan that has not ended by then recovers at the next start. */
const ORPHAN_LIMIT_SECONDS = 30;

/** Lines kept to tell why a start failed. */
const KEPT_LOG_LINES = 20;

/** After the exit, how long to wait for the end of the log: an orphaned backend may hold it open. */
const LOG_END_WAIT_MS = 500;

export function superviseServer(start: ServerStart): SupervisedServer {
  const { runner, clusterDir, orphanLimitSeconds = ORPHAN_LIMIT_SECONDS } = start;
  const postgres = [postgresOf(runner.binaries), ...serverArguments(start)];
  const command = runner.wrap('/bin/sh', ['-c', script, 'sh', clusterDir, String(orphanLimitSeconds), ...postgres]);
  const { uid, gid } = command;
  const child = spawn(command.file, command.args, {
    ...(uid === undefined || gid === undefined ? {} : { uid, gid }),
    cwd: '/',
    // A session of its own: Ctrl-C in the terminal must reach the service first, which then drains.
    detached: true,
    env: { ...cleanEnvironment, ...ignoredPid(start.stalePid) },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  // Writing to a supervisor that has just died is no failure: its exit is told below.
  child.stdin.on('error', () => undefined);
  const lines: string[] = [];
  createInterface(child.stderr).on('line', (line) => {
    lines.push(line);
    if (lines.length > KEPT_LOG_LINES) lines.shift();
    start.log(line);
  });
  return {
    pid: readPid(child),
    exited: exitOf(child, lines),
    signal: (name) => child.stdin.write(`${name}\n`),
  };
}

function serverArguments({ clusterDir, port, settings }: ServerStart): string[] {
  const chosen = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  return ['-D', clusterDir, '-p', String(port), ...chosen];
}

/**
 * Postgres takes a pid file for live when any process has that pid. Named as its grandparent's, the pid is passed
 * over, and the second test, for shared memory that is still in use, is made all the same: deleting the file would lose it.
 */
function ignoredPid(stalePid: number | null): Record<string, string> {
  return stalePid === null ? {} : { PG_GRANDPARENT_PID: String(stalePid) };
}

async function readPid(child: ChildProcessWithoutNullStreams): Promise<number | null> {
  for await (const line of createInterface(child.stdout)) return Number(line);
  return null;
}

async function exitOf(child: ChildProcessWithoutNullStreams, lines: readonly string[]): Promise<Exit> {
  const logEnd = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const code = await new Promise<number | null>((resolve) => {
    child.once('exit', (status) => resolve(status));
    child.once('error', (error) => resolve(systemCode(error) === null ? null : -1));
  });
  await Promise.race([logEnd, delay(LOG_END_WAIT_MS, undefined, { ref: false })]);
  child.stdin.destroy();
  return { code, log: lines.join('\n') };
}
