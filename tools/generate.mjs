// Writes what is derived from proto/: its own format, the TypeScript in gen/, and the descriptors that reflection serves.
//
//   node tools/generate.mjs           formats proto/ and brings gen/ up to date
//   node tools/generate.mjs --check   changes nothing; fails where gen/ is not what proto/ gives
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { buf } from './buf.mjs';

const root = join(import.meta.dirname, '..');
const committed = join(root, 'gen');

function generateInto(folder) {
  buf('generate', '--output', folder);
  buf('build', '--as-file-descriptor-set', '--exclude-source-info', '--output', join(folder, 'gen/descriptors.binpb'));
}

function filesUnder(folder) {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}

function differences(fresh) {
  const names = [...new Set([...filesUnder(fresh), ...filesUnder(committed)])];
  const bytes = (folder, name) => (existsSync(join(folder, name)) ? readFileSync(join(folder, name)) : undefined);
  return names.flatMap((name) => {
    const [wanted, found] = [bytes(fresh, name), bytes(committed, name)];
    if (wanted === undefined) return [`gen/${name} comes from no proto file`];
    if (found === undefined) return [`gen/${name} is missing`];
    return wanted.equals(found) ? [] : [`gen/${name} is out of date`];
  });
}

function check(fresh) {
  const found = differences(fresh);
  if (found.length === 0) return;
  throw new Error(`gen/ is not what proto/ gives; run: npm run gen\n${found.map((line) => `  ${line}`).join('\n')}`);
}

function replace(fresh) {
  for (const name of filesUnder(committed)) if (!existsSync(join(fresh, name))) rmSync(join(committed, name));
  cpSync(fresh, committed, { recursive: true });
}

const [mode] = process.argv.slice(2);
if (mode !== undefined && mode !== '--check') {
  console.error('usage: node tools/generate.mjs [--check]');
  process.exit(2);
}
// A folder of its own: nobody who reads gen/ meanwhile finds it half written.
const folder = mkdtempSync(join(tmpdir(), 'stint-gen-'));
try {
  // Vendored files keep the form they were published in.
  if (mode === undefined) buf('format', '--write', '--exclude-path', 'proto/google', '--exclude-path', 'proto/externalscaler');
  generateInto(folder);
  if (mode === '--check') check(join(folder, 'gen'));
  else replace(join(folder, 'gen'));
} catch (error) {
  console.error(`generate: ${error.message}`);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
