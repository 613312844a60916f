// Compiles src, gen, examples and bench into dist/, or does nothing when no source has changed since the last time.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';

const root = join(import.meta.dirname, '..');
const output = join(root, 'dist');
const stampFile = join(output, '.sources');
const sourceFolders = ['src', 'gen', 'examples', 'bench'];
const settings = ['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json'];

function filesBelow(folder, pattern) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name) && !relative(folder, entry.parentPath).includes('node_modules'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** Path, size and time of each source: compiling again for nothing costs less than reading them all. */
function stampSources() {
  const sources = sourceFolders.flatMap((folder) => filesBelow(join(root, folder), /\.ts$/));
  const hash = createHash('sha256');
  for (const file of [...sources, ...settings.map((name) => join(root, name))]) {
    const { size, mtimeMs } = statSync(file);
    hash.update(`${relative(root, file)} ${size} ${mtimeMs}\n`);
  }
  return hash.digest('hex');
}

const readStamp = () => (existsSync(stampFile) ? readFileSync(stampFile, 'utf8') : null);

/** What is left of a deleted source would still be imported, or shipped. */
function removeStaleOutput() {
  for (const file of filesBelow(output, /\.js(\.map)?$/)) {
    const source = join(root, relative(output, file)).replace(/\.js(\.map)?$/, '.ts');
    if (!existsSync(source)) rmSync(file);
  }
}

const stamp = stampSources();
if (readStamp() === stamp) process.exit(0);
// Without a stamp nobody knows what dist/ holds, so the compiler must not leave out what it believes to be there.
if (readStamp() === null) rmSync(output, { recursive: true, force: true });
rmSync(stampFile, { force: true });
const compiler = join(root, 'node_modules/typescript/bin/tsc');
const { status } = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
if (status !== 0) process.exit(1);
removeStaleOutput();
mkdirSync(output, { recursive: true });
writeFileSync(stampFile, stamp);
