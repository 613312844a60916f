import { randomBytes } from 'node:crypto';
import { chown, lchown, mkdtemp, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Account } from './account.ts';
import { type Binaries, initdbOf } from './binaries.ts';
import { lastLine, run } from './command.ts';
import type { DataFolder } from './data-folder.ts';
import { EmbeddedPostgresError, systemCode } from './error.ts';
import type { Runner } from './runner.ts';

/** Inside the cluster, so that cluster and password come into being in one rename and are backed up together. */
const passwordFile = 'stint.password';

/** Every local user can reach the port, so only who can read this file gets in. */
const PASSWORD_BYTES = 24;

const FIRST_WITH_OWN_LOCALES = 17;

export interface ClusterDraft {
  readonly folder: DataFolder;
  readonly runner: Runner;
  readonly durable: boolean;
}

/**
 * Makes a new cluster beside its place and renames it there: a crash half-way leaves a draft that nobody takes for a
 * cluster, and of two that start at once one wins whole.
 */
export async function createCluster({ folder, runner, durable }: ClusterDraft): Promise<void> {
  const draft = await mkdtemp(join(folder.path, 'initdb-'));
  try {
    const password = join(draft, passwordFile);
    await writeFile(password, randomBytes(PASSWORD_BYTES).toString('hex'), { mode: 0o600, flush: true });
    if (runner.owner !== null) {
      await chown(password, runner.owner.uid, runner.owner.gid);
      await chown(draft, runner.owner.uid, runner.owner.gid);
    }
    const cluster = join(draft, 'cluster');
    await initialise(runner, [
      ...['--pgdata', cluster, '--username', 'postgres', '--auth', 'scram-sha-256', '--pwfile', password],
      ...['--encoding', 'UTF8', '--locale', 'C', ...localeOf(runner.binaries)],
      ...(durable ? [] : ['--no-sync']),
      '--no-instructions',
    ]);
    await rename(password, join(cluster, passwordFile));
    await moveInto(cluster, folder);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** The same letters and order on every machine; older versions know only what the system's library offers. */
function localeOf({ majorVersion }: Binaries): readonly string[] {
  return Number(majorVersion) < FIRST_WITH_OWN_LOCALES ? [] : ['--locale-provider', 'builtin', '--builtin-locale', 'C.UTF-8'];
}

async function initialise(runner: Runner, args: readonly string[]): Promise<void> {
  const { ok, stderr } = await run(runner.wrap(initdbOf(runner.binaries), args));
  if (ok) return;
  if (stderr.includes('could not look up effective user ID')) throw accountMissing();
  throw new EmbeddedPostgresError(
    'start_failed',
    `initdb could not make the database (${lastLine(stderr)}): mend that, or set DATABASE_URL`,
  );
}

export function accountMissing(): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'account_missing',
    'the user id that this process runs as has no account, and Postgres cannot make a database for it: set DATABASE_URL to a Postgres of your own, or start as a user that is listed in /etc/passwd',
  );
}

async function moveInto(cluster: string, folder: DataFolder): Promise<void> {
  try {
    await rename(cluster, folder.clusterDir);
    await syncFolder(folder.path);
  } catch (error) {
    const code = systemCode(error);
    // Another start came first; its cluster is as good as ours.
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Throws `folder_foreign` when the cluster has no password of ours. */
export async function readPassword(clusterDir: string): Promise<string> {
  try {
    return (await readFile(join(clusterDir, passwordFile), 'utf8')).trim();
  } catch (error) {
    throw new EmbeddedPostgresError(
      'folder_foreign',
      `the Postgres data folder ${clusterDir} has no readable ${passwordFile} (${systemCode(error) ?? 'unknown error'}): put that file back, set STINT_DATA_DIR to another folder, or set DATABASE_URL`,
      { cause: error },
    );
  }
}

/** Postgres serves only a cluster that it owns; who the owner must be depends on what the system allows. */
export async function giveCluster(clusterDir: string, owner: Account): Promise<void> {
  const { uid } = await stat(clusterDir);
  if (uid === owner.uid) return;
  const entries = await readdir(clusterDir, { recursive: true });
  for (const entry of entries) await lchown(join(clusterDir, entry), owner.uid, owner.gid);
  // The folder itself last: until then a start that was interrupted here begins anew.
  await lchown(clusterDir, owner.uid, owner.gid);
}
