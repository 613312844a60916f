import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

/** Runs buf in the project's root. Throws when it cannot be started or fails; what it says goes to the terminal. */
export function buf(...args) {
  const { status, error } = spawnSync(join(root, 'tools/node_modules/.bin/buf'), args, { cwd: root, stdio: 'inherit' });
  if (error !== undefined) throw new Error(`buf did not start (${error.message}); install it with: node tools/install.mjs --tools`);
  if (status !== 0) throw new Error(`buf ${args[0]} failed`);
}
