// Holds two replicas behind pgbouncer, which lends them its sessions for a transaction, to the contract. They listen and vacuum past it.
//
//   node tools/test-behind-pgbouncer.mjs [what vitest is to run…]
//
// Takes the pgbouncer that is installed, or in CI, as root, installs Debian's. Where none can be had, says why and ends with 0, or in CI with 1.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const isCI = process.env.CI === 'true';

const usual = ['test/contract', 'test/repository/pooler.test.ts'];

function run(file, args, env = {}) {
  return spawnSync(file, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, ...env } }).status === 0;
}

const isThere = () =>
  ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer', process.env.STINT_TEST_PGBOUNCER ?? ''].some((file) => existsSync(file));

/** Null, or why there is none. */
function missing() {
  if (isThere()) return null;
  if (!isCI || process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return 'install it with: apt-get install pgbouncer';
  const apt = (...args) => run('apt-get', ['-qq', ...args], { DEBIAN_FRONTEND: 'noninteractive' });
  const isInstalled = apt('update') && apt('install', '-y', '--no-install-recommends', 'pgbouncer') && isThere();
  return isInstalled ? null : 'apt-get could not install pgbouncer';
}

const why = missing();
if (why === null) {
  const wanted = process.argv.slice(2);
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const settings = { STINT_REPLICAS: '2', STINT_TEST_POOLER: 'direct' };
  process.exitCode = run(process.execPath, [vitest, 'run', ...(wanted.length > 0 ? wanted : usual)], settings) ? 0 : 1;
} else {
  console.error(`${isCI ? 'FAILED' : 'skipped'}: no pgbouncer to test behind: ${why}`);
  process.exitCode = isCI ? 1 : 0;
}
