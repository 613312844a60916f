import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './command.ts';
import { systemCode } from './error.ts';

/** What `postmaster.pid` says: the server that runs on the folder, or ran when everything was killed. */
export interface ServerFile {
  readonly pid: number;
  readonly status: string;
}

export async function readServerFile(clusterDir: string): Promise<ServerFile | null> {
  try {
    const lines = (await readFile(join(clusterDir, 'postmaster.pid'), 'utf8')).split('\n');
    const pid = Number(lines[0]);
    return Number.isInteger(pid) && pid > 0 ? { pid, status: lines[7]?.trim() ?? '' } : null;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null;
    throw error;
  }
}

export type FolderUse =
  | { readonly kind: 'free' }
  /** The file is left over, and its pid belongs to an unrelated process. */
  | { readonly kind: 'stale'; readonly pid: number }
  | { readonly kind: 'served'; readonly pid: number; readonly stopping: boolean; readonly service: Service | null };

/** The process that started the server and holds its leash. */
export interface Service {
  readonly pid: number;
  readonly alive: boolean;
}

/** The setting under which a server carries the pid of its service: readable in its command line and by SHOW. */
export const servicePidSetting = 'stint.service_pid';

/**
 * Who uses the folder. A pid alone proves nothing, since pids are given out again after a crash or a restart of the
 * container; a server on this folder names the folder in its command line.
 */
export async function findFolderUse(clusterDir: string): Promise<FolderUse> {
  const file = await readServerFile(clusterDir);
  if (file === null) return { kind: 'free' };
  const command = await commandLineOf(file.pid);
  if (command === null) return { kind: 'free' };
  if (!command.includes(`-D ${clusterDir} `)) return { kind: 'stale', pid: file.pid };
  const servicePid = Number(new RegExp(`${servicePidSetting}=(\\d+)`).exec(command)?.[1] ?? 0);
  const service = servicePid === 0 ? null : { pid: servicePid, alive: (await commandLineOf(servicePid)) !== null };
  return { kind: 'served', pid: file.pid, stopping: file.status === 'stopping', service };
}

/** Null when no such process lives; one that ended and waits to be reaped has no command line either. */
async function commandLineOf(pid: number): Promise<string | null> {
  try {
    const text = await readFile(`/proc/${pid}/cmdline`, 'utf8');
    return text === '' ? null : text.replaceAll('\0', ' ');
  } catch {
    if (await hasProcFolder()) return null;
  }
  const { ok, stdout } = await run({ file: 'ps', args: ['-ww', '-o', 'command=', '-p', String(pid)] });
  return ok && stdout.trim() !== '' ? `${stdout.trim()} ` : null;
}

async function hasProcFolder(): Promise<boolean> {
  try {
    await stat('/proc/self/cmdline');
    return true;
  } catch {
    return false;
  }
}
