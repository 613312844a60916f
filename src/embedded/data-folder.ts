import { access, constants, lstat, mkdir, readdir, readFile, realpath, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Account } from './account.ts';
import { EmbeddedPostgresError, systemCode } from './error.ts';

/** The data folder as found: usable, and with or without a cluster in it. */
export interface DataFolder {
  /** Without symbolic links, so that two names of one folder are one. */
  readonly path: string;
  readonly clusterDir: string;
  /** Whose cluster is there; null when there is none yet. */
  readonly clusterOwner: Account | null;
}

/** What may lie in a data folder that has no cluster yet: our own drafts, and what a fresh file system brings along. */
const harmless = /^(initdb-\w+|binaries-[\w.-]+|lost\+found)$/;

/** A draft of this age belongs to a start that was killed: making one takes seconds. */
const ABANDONED_DRAFT_MS = 600_000;

/** Makes the folder if it is missing and judges what is in it. Throws a refusal that says how to mend it. */
export async function openDataFolder(wanted: string, majorVersion: string): Promise<DataFolder> {
  try {
    // Others may pass through, for Postgres may run as another user; each thing inside is closed to them.
    await mkdir(wanted, { recursive: true, mode: 0o711 });
    const path = await realpath(wanted);
    const entries = await readdir(path);
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
    const clusterDir = join(path, 'postgres');
    await refuseStrangers({ path, entries, clusterDir, majorVersion });
    await removeAbandonedDrafts(path, entries);
    const clusterOwner = entries.includes('postgres') ? await stat(clusterDir) : null;
    return { path, clusterDir, clusterOwner: clusterOwner && { uid: clusterOwner.uid, gid: clusterOwner.gid } };
  } catch (error) {
    if (error instanceof EmbeddedPostgresError) throw error;
    throw unusable(wanted, error);
  }
}

interface FoundFolder {
  readonly path: string;
  readonly entries: readonly string[];
  readonly clusterDir: string;
  readonly majorVersion: string;
}

async function refuseStrangers({ path, entries, clusterDir, majorVersion }: FoundFolder): Promise<void> {
  if (entries.includes('PG_VERSION')) {
    await refuseOtherVersion(path, majorVersion);
    throw foreign(path, 'is itself a Postgres data folder that Stint did not make');
  }
  if (entries.includes('postgres')) {
    await refuseOtherVersion(clusterDir, majorVersion);
    return;
  }
  const stranger = entries.find((entry) => !harmless.test(entry));
  if (stranger !== undefined) throw foreign(path, `is not empty and holds no data of Stint (found ${JSON.stringify(stranger)})`);
}

async function refuseOtherVersion(folder: string, majorVersion: string): Promise<void> {
  const found = await readVersion(folder);
  if (found === null) throw foreign(folder, 'is no Postgres data folder (it has no PG_VERSION)');
  if (found === majorVersion) return;
  throw new EmbeddedPostgresError(
    'other_version',
    `the data folder ${folder} was written by Postgres ${found}, but the packaged Postgres is ${majorVersion}: move the data with pg_dump or pg_upgrade, set STINT_DATA_DIR to another folder, or set DATABASE_URL to a Postgres ${found} that serves it`,
  );
}

async function readVersion(folder: string): Promise<string | null> {
  try {
    // The file may hold anything; a line of the length of a version is enough for the message.
    return (await readFile(join(folder, 'PG_VERSION'), 'utf8')).trim().slice(0, 12);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw error;
  }
}

async function removeAbandonedDrafts(path: string, entries: readonly string[]): Promise<void> {
  for (const draft of entries.filter((entry) => /^(initdb|binaries-new)-\w+$/.test(entry))) {
    const { mtimeMs } = await lstat(join(path, draft));
    if (Date.now() - mtimeMs > ABANDONED_DRAFT_MS) await rm(join(path, draft), { recursive: true, force: true });
  }
}

function foreign(folder: string, what: string): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'folder_foreign',
    `the data folder ${folder} ${what}: set STINT_DATA_DIR to an empty or new folder, or set DATABASE_URL`,
  );
}

const reasons: Record<string, string> = {
  EACCES: 'may not be read and written by this user',
  EPERM: 'may not be read and written by this user',
  EROFS: 'lies on a read-only file system',
  ENOTDIR: 'is not a folder',
  EEXIST: 'is not a folder',
  ENOSPC: 'lies on a file system that is full',
};

function unusable(folder: string, error: unknown): EmbeddedPostgresError {
  const code = systemCode(error) ?? 'unknown error';
  const reason = reasons[code] ?? 'cannot be used';
  return new EmbeddedPostgresError(
    'folder_unusable',
    `the data folder ${folder} ${reason} (${code}): mend its permissions, start as its owner, or set STINT_DATA_DIR to another folder`,
    { cause: error },
  );
}
