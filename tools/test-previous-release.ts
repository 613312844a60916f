// Holds the service of the release before, on the tables of this one, to the contract as that release told it.
//
//   node --import tsx tools/test-previous-release.ts [ref] [what its vitest is to run…]   the newest tag by default
//
// Both are run: this one's migrations make the tables, that one's process serves on them. Without a release it says so and ends with 0.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '../src/embedded/embedded-postgres.ts';
import { migrate } from '../src/repository/migrate.ts';

const root = join(import.meta.dirname, '..');

function newestTag(): string | null {
  const { status, stdout } = spawnSync('git', ['describe', '--tags', '--abbrev=0'], { cwd: root, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : null;
}

/** Its sources, its packages, and what its own tools build of them; kept from one run to the next. */
function checkOut(ref: string): string {
  const commit = execFileSync('git', ['rev-parse', `${ref}^{commit}`], { cwd: root, encoding: 'utf8' }).trim();
  const folder = join(root, 'node_modules/.cache/previous', commit);
  if (!existsSync(join(folder, 'package.json'))) {
    mkdirSync(folder, { recursive: true });
    const archive = execFileSync('git', ['archive', commit], { cwd: root, maxBuffer: 1 << 30 });
    execFileSync('tar', ['-x', '-C', folder], { input: archive });
  }
  if (!existsSync(join(folder, 'node_modules'))) {
    execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: folder, stdio: 'inherit' });
  }
  execFileSync(process.execPath, [join(folder, 'tools/build.mjs')], { cwd: folder, stdio: 'inherit' });
  return folder;
}

/** Gives its process and where it serves gRPC. */
async function serve(folder: string, databaseUrl: string): Promise<{ readonly child: ChildProcess; readonly address: string }> {
  const settings = { DATABASE_URL: databaseUrl, STINT_LISTEN: '127.0.0.1:0', STINT_ADMIN_LISTEN: '127.0.0.1:0', STINT_LOG_LEVEL: 'warn' };
  const child = spawn(process.execPath, [join(folder, 'dist/src/main.js')], {
    cwd: folder,
    env: { PATH: process.env['PATH'] ?? '', ...settings },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const address = await new Promise<string>((resolve, reject) => {
    child.stdout.on('data', (data: Buffer) => {
      const told = /serves gRPC on (\S+)/.exec(data.toString())?.[1];
      if (told !== undefined) resolve(told);
    });
    child.once('exit', (code) => reject(new Error(`the release before ended with ${code} and did not serve`)));
  });
  return { child, address };
}

const [ref = newestTag(), ...wanted] = process.argv.slice(2);
if (ref === null) {
  console.log('skipped: there is no release before this one');
  process.exit(0);
}
const folder = checkOut(ref);
const dataDir = mkdtempSync(join(tmpdir(), 'stint-previous-'));
const server = await startEmbeddedPostgres({ dataDir, durable: 'off', log: () => undefined, settings: { max_connections: '300' } });
try {
  await migrate(server.url);
  const { child, address } = await serve(folder, server.url);
  console.log(`The service of ${ref} is held to its contract on the tables of this release.`);
  const vitest = join(folder, 'node_modules/vitest/vitest.mjs');
  const tests = wanted.length > 0 ? wanted : ['test/contract'];
  const run = spawn(process.execPath, [vitest, 'run', ...tests], {
    cwd: folder,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, STINT_ADDRESS: address },
  });
  process.exitCode = await new Promise<number>((resolve) => run.once('exit', (code) => resolve(code ?? 1)));
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await ended;
} finally {
  await server.stop();
  rmSync(dataDir, { recursive: true, force: true });
}
