// Installs what is missing, and does nothing, quickly, when nothing is: `npm start` and its like run it first.
// `--tools` (also implied by `npm run check`) installs the checkers too, which have a package of their own in tools/;
// `--peers` what the bench measures beside the service, which has one in bench/peers/.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const toolsFolder = join(root, 'tools');
const peersFolder = join(root, 'bench/peers');

/** Nothing of ours depends on an install script, and newer npm versions do not run them anyway. */
const quietly = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];

function readJson(...path) {
  try {
    return JSON.parse(readFileSync(join(...path), 'utf8'));
  } catch {
    return null;
  }
}

/** npm keeps a lock of what it has installed inside node_modules. */
const installedIn = (folder) => readJson(folder, 'node_modules/.package-lock.json')?.packages ?? null;

/** The same versions as the lock says; a package for another platform may be missing. */
function matchesLock(folder) {
  const locked = readJson(folder, 'package-lock.json')?.packages ?? {};
  const installed = installedIn(folder);
  if (installed === null) return false;
  return Object.entries(locked).every(([path, entry]) => {
    if (path === '' || entry.link === true) return true;
    const found = installed[path];
    return found === undefined ? entry.optional === true : found.version === entry.version;
  });
}

/** The tools have no lock, because some registry always lacks the package of some platform; their versions are exact. */
function matchesPins() {
  const pins = Object.entries(readJson(toolsFolder, 'package.json')?.dependencies ?? {});
  const installed = installedIn(toolsFolder);
  return installed !== null && pins.every(([name, version]) => installed[`node_modules/${name}`]?.version === version);
}

function npm(args, cwd) {
  console.log(`npm ${args[0]} in ${cwd}`);
  const { status, error } = spawnSync('npm', [...args, ...quietly], { cwd, stdio: 'inherit', shell: process.platform === 'win32' });
  if (status === 0) return;
  console.error(`install: npm ${args[0]} failed in ${cwd}${error === undefined ? '' : ` (${error.message})`}: see above.`);
  process.exit(1);
}

// Development packages are wanted even where NODE_ENV says production: the compiler is one of them.
if (!matchesLock(root)) npm(['ci', '--include=dev', '--include=optional'], root);
const withTools = process.argv.includes('--tools') || process.env.npm_lifecycle_event === 'precheck';
if (withTools && !matchesPins()) npm(['install', '--no-package-lock', '--include=optional'], toolsFolder);
if (process.argv.includes('--peers') && !matchesLock(peersFolder)) npm(['ci', '--include=optional'], peersFolder);
