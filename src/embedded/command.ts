import { execFile } from 'node:child_process';
import { systemCode } from './error.ts';

/**
 * The whole environment of what is started here. Nothing is inherited: a PGPORT, PGDATA or LD_LIBRARY_PATH that
 * somebody exported for another Postgres must not reach this one, and messages are read in English.
 */
export const cleanEnvironment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
  TZ: 'UTC',
} as const;

/** No command run here takes longer, short of a disk that hangs; a hung one must not hang the start for ever. */
const COMMAND_LIMIT_MS = 120_000;

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly uid?: number;
  readonly gid?: number;
}

export interface CommandResult {
  readonly ok: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end; a command that fails or does not exist is a result, not an exception. */
export async function run(command: Command): Promise<CommandResult> {
  const { uid, gid } = command;
  const identity = uid === undefined || gid === undefined ? {} : { uid, gid };
  return await new Promise((resolve) => {
    // The working folder may be closed to the user that the command runs as, so it starts in the root folder.
    const options = { ...identity, cwd: '/', env: cleanEnvironment, timeout: COMMAND_LIMIT_MS };
    try {
      execFile(command.file, command.args, options, (error, stdout, stderr) => {
        resolve({ ok: error === null, stdout, stderr: stderr === '' && error !== null ? reasonOf(error) : stderr });
      });
    } catch (error) {
      // Changing the user without the right to do so throws before there is a process.
      resolve({ ok: false, stdout: '', stderr: reasonOf(error) });
    }
  });
}

function reasonOf(error: unknown): string {
  return systemCode(error) ?? (error instanceof Error ? error.message : 'unknown');
}

/** The last line that is not empty: where Postgres and its tools say what stopped them. */
export function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1)?.trim() ?? '';
}
