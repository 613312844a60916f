// Writes the stubs of the other languages from proto/. They are not committed: whoever writes a client makes their own.
//
//   node tools/stubs.mjs python    examples/python/stint/, after filling .venv/ by examples/python/requirements.txt
//   node tools/stubs.mjs go        examples/go/stint/, with the plugins that examples/go/go.mod pins
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buf } from './buf.mjs';

const root = join(import.meta.dirname, '..');
const environment = join(root, '.venv');

function run(command, ...args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (error !== undefined) throw new Error(`${command} did not start (${error.message}): is it installed?`);
  if (status !== 0) throw new Error(`${[command, ...args].join(' ')} failed: see above`);
}

/** The oldest that the example runs on. */
const python311 = 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is " + sys.version)';

/** Fills .venv/, or does nothing when it was filled by the same requirements. */
function installPython() {
  const requirements = readFileSync(join(root, 'examples/python/requirements.txt'), 'utf8');
  const stamp = join(environment, '.requirements');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === requirements) return;
  run('python3', '-c', python311);
  run('python3', '-m', 'venv', '--clear', environment);
  run(join(environment, 'bin/python'), '-m', 'pip', 'install', '--quiet', '--requirement', 'examples/python/requirements.txt');
  writeFileSync(stamp, requirements);
}

const languages = { python: installPython, go: () => run('go', '-C', 'examples/go', 'mod', 'download') };

const [language = ''] = process.argv.slice(2);
const install = languages[language];
if (install === undefined) {
  console.error(`usage: node tools/stubs.mjs ${Object.keys(languages).join(' | ')}`);
  process.exit(2);
}
try {
  run(process.execPath, 'tools/install.mjs', '--tools');
  install();
  // What is left of a deleted message would still be imported.
  rmSync(join(root, 'examples', language, 'stint'), { recursive: true, force: true });
  buf('generate', '--template', `tools/buf.gen.${language}.yaml`);
} catch (error) {
  console.error(`stubs: ${error.message}`);
  process.exitCode = 1;
}
