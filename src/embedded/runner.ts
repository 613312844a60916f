import type { Account } from './account.ts';
import { type Binaries, copyBinaries, postgresOf, restoreLibraryLinks } from './binaries.ts';
import { type Command, lastLine, run } from './command.ts';
import { EmbeddedPostgresError } from './error.ts';

/** How Postgres' programs are run: as whom, by which detour, and from where. */
export interface Runner {
  readonly binaries: Binaries;
  /** Who must own the cluster's files; null when they are ours already. */
  readonly owner: Account | null;
  wrap(file: string, args: readonly string[]): Command;
}

/** Runs them as we are. */
function directly(binaries: Binaries): Runner {
  return { binaries, owner: null, wrap: (file, args) => ({ file, args }) };
}

function as(account: Account, binaries: Binaries): Runner {
  return { binaries, owner: account, wrap: (file, args) => ({ file, args, ...account }) };
}

/**
 * As another user, but with one capability kept, so that a folder closed to that user (a clone in root's home) can be
 * passed through all the same.
 */
function withCapability(capability: string, account: Account, binaries: Binaries): Runner {
  const { uid, gid } = account;
  const identity = ['--reuid', String(uid), '--regid', String(gid), '--clear-groups', '--no-new-privs'];
  // Postgres looks at its own files with access(2), which forgets capabilities of a user other than root unless told not to.
  const kept = ['--securebits=+no_setuid_fixup', `--inh-caps=+${capability}`, `--ambient-caps=+${capability}`];
  const detour = [...identity, ...kept, '--'];
  return { binaries, owner: account, wrap: (file, args) => ({ file: 'setpriv', args: [...detour, file, ...args] }) };
}

/** In a user namespace where we appear as that user: to the files we stay who we are. */
function inUserNamespace(account: Account, binaries: Binaries): Runner {
  const detour = ['--user', `--map-user=${account.uid}`, `--map-group=${account.gid}`, '--'];
  return { binaries, owner: { uid: 0, gid: 0 }, wrap: (file, args) => ({ file: 'unshare', args: [...detour, file, ...args] }) };
}

export interface RunnerSearch {
  readonly binaries: Binaries;
  readonly dataDir: string;
  /** Who to become; null for an ordinary user, who stays who they are. */
  readonly account: Account | null;
}

/**
 * The first way in which Postgres runs and reaches the data folder, least privilege first: what the kernel and the
 * container allow is tried, not guessed. Throws `binaries_unusable`.
 */
export async function chooseRunner({ binaries, dataDir, account }: RunnerSearch): Promise<Runner> {
  const linked = await restoreLibraryLinks(binaries);
  const failures: string[] = [];
  for (const runner of linked ? inPlace(binaries, account) : []) {
    const failure = await probe(runner, dataDir);
    if (failure === null) return runner;
    failures.push(failure);
  }
  if (account !== null || !linked) {
    const copy = await copyBinaries(binaries, dataDir);
    const runner = account === null ? directly(copy) : as(account, copy);
    const failure = await probe(runner, dataDir);
    if (failure === null) return runner;
    failures.push(failure);
  }
  throw new EmbeddedPostgresError('binaries_unusable', unusable(failures, account));
}

function inPlace(binaries: Binaries, account: Account | null): Runner[] {
  if (account === null) return [directly(binaries)];
  return [
    as(account, binaries),
    // Reading only; a container often grants the wider capability and not this one.
    withCapability('dac_read_search', account, binaries),
    withCapability('dac_override', account, binaries),
    inUserNamespace(account, binaries),
  ];
}

/**
 * Enters the data folder and starts the real program, since permission bits alone do not tell. This way of calling it
 * also looks for its own files, and complains of those that it cannot reach. Null is success.
 */
async function probe(runner: Runner, dataDir: string): Promise<string | null> {
  const script = 'cd "$1" && exec "$2" --describe-config >/dev/null';
  const { ok, stderr } = await run(runner.wrap('/bin/sh', ['-c', script, 'sh', dataDir, postgresOf(runner.binaries)]));
  return ok && !stderr.includes('invalid binary') ? null : lastLine(stderr);
}

function unusable(failures: readonly string[], account: Account | null): string {
  const reason = failures.at(0) ?? 'unknown';
  if (account === null) return `the packaged Postgres does not run here (${reason}): set DATABASE_URL to a Postgres of your own`;
  return `Postgres does not run as root, and user ${account.uid} cannot reach it or the data folder (${reason}): start as an ordinary user, set STINT_DATA_DIR to a folder that others can enter, or set DATABASE_URL`;
}
