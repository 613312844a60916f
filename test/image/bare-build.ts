import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { readStages, type Stage } from './dockerfile.ts';

const project = join(import.meta.dirname, '../..');

export interface BareImage {
  /** What is the image's root folder. */
  readonly root: string;
  readonly final: Stage;
  remove(): void;
}

/**
 * Does what the Dockerfile says without a container engine: each stage is a folder outside the project, `COPY` copies into it and
 * `RUN` runs in it, with the Node of the base image in front. That Node comes from the npm package of its version.
 */
export function buildBare(): BareImage {
  const folder = mkdtempSync(join(tmpdir(), 'stint-image-'));
  chmodSync(folder, 0o755);
  const stages = readStages(join(project, 'Dockerfile'));
  const roots = new Map<string, string>();
  for (const [index, stage] of stages.entries()) {
    const root = join(folder, stage.name ?? `stage-${index}`);
    mkdirSync(root, { recursive: true });
    if (stage.name !== null) roots.set(stage.name, root);
    const node = /\/node:([\d.]+)-/.exec(stage.base)?.[1];
    if (node !== undefined) installNode(node, { folder, root });
    buildStage(stage, root, roots);
  }
  const [final] = stages.slice(-1);
  if (final === undefined) throw new Error('the Dockerfile has no stage');
  const root = join(folder, `stage-${stages.length - 1}`);
  return { root, final, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** All bytes below a folder, as `du --apparent-size` counts them without the folders themselves. */
export function bytesBelow(folder: string): number {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .reduce((sum, entry) => sum + lstatSync(join(entry.parentPath, entry.name)).size, 0);
}

/** Where Docker's official images have it. */
function installNode(version: string, { folder, root }: { readonly folder: string; readonly root: string }): void {
  const name = `node-${process.platform}-${process.arch}`;
  const installed = join(folder, 'node', 'node_modules', name, 'bin/node');
  const quietly = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  if (!existsSync(installed)) execFileSync('npm', ['install', ...quietly, '--prefix', join(folder, 'node'), `${name}@${version}`]);
  mkdirSync(join(root, 'usr/local/bin'), { recursive: true });
  cpSync(installed, join(root, 'usr/local/bin/node'));
}

function buildStage(stage: Stage, root: string, roots: ReadonlyMap<string, string>): void {
  let workdir = '/';
  for (const { keyword, text } of stage.instructions) {
    if (keyword === 'WORKDIR') {
      workdir = text;
      mkdirSync(join(root, workdir), { recursive: true });
    } else if (keyword === 'COPY') {
      copy(text, { root, workdir, roots });
    } else if (keyword === 'RUN') {
      const path = `${join(root, 'usr/local/bin')}:${process.env['PATH'] ?? ''}`;
      // The way to the registry is told by the environment; an engine would be told it too.
      execFileSync('sh', ['-c', text], {
        cwd: join(root, workdir),
        env: { ...process.env, PATH: path },
        stdio: ['ignore', 'ignore', 'inherit'],
      });
    } else if (!['LABEL', 'ENV', 'EXPOSE', 'USER', 'ENTRYPOINT'].includes(keyword)) {
      throw new Error(`not understood: ${keyword}`);
    }
  }
}

interface Destination {
  readonly root: string;
  readonly workdir: string;
  readonly roots: ReadonlyMap<string, string>;
}

/** A folder's content goes into the destination; a file becomes it, or goes into it where it ends with a slash. */
function copy(text: string, { root, workdir, roots }: Destination): void {
  const [, from, rest = ''] = /^(?:--from=(\S+)\s+)?(.*)$/.exec(text) ?? [];
  if (rest.startsWith('--')) throw new Error(`not understood: COPY ${text}`);
  const words = rest.split(/\s+/);
  const target = words.at(-1) ?? '';
  const source = from === undefined ? project : roots.get(from);
  if (source === undefined) throw new Error(`COPY from an unknown stage: ${from}`);
  for (const word of words.slice(0, -1)) {
    const path = join(source, word);
    if (from === undefined && !isInContext(relative(project, path))) throw new Error(`.dockerignore leaves out ${word}`);
    const destination = join(root, target.startsWith('/') ? target : join(workdir, target));
    const isFolder = lstatSync(path).isDirectory();
    cpSync(path, target.endsWith('/') && !isFolder ? join(destination, word.split('/').at(-1) ?? '') : destination, {
      recursive: true,
      verbatimSymlinks: true,
    });
  }
}

/** `*` and names only: our .dockerignore lists what is wanted. The last line that fits a path decides. */
function isInContext(path: string): boolean {
  const lines = readFileSync(join(project, '.dockerignore'), 'utf8').split('\n');
  let ignored = false;
  for (const line of lines.filter((text) => text !== '' && !text.startsWith('#'))) {
    const name = line.replace(/^!/, '');
    if (name !== '*' && /[*?[]/.test(name)) throw new Error(`.dockerignore: not understood: ${line}`);
    if (name === '*' || path === name || path.startsWith(`${name}/`)) ignored = !line.startsWith('!');
  }
  return !ignored;
}
