/** The client that costs little: it is written in Go, and built where there is one. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const projectRoot = join(import.meta.dirname, '../..');

export type CheapProgram = { readonly program: string; readonly missing: null } | { readonly program: null; readonly missing: string };

export function buildCheapClient(): CheapProgram {
  const program = join(projectRoot, 'node_modules/.cache/stint/cheap');
  const { status, error } = spawnSync('go', ['build', '-o', program, '.'], {
    cwd: join(projectRoot, 'bench/cheap'),
    stdio: ['ignore', 2, 2],
  });
  if (error !== undefined) return { program: null, missing: 'there is no Go here' };
  return status === 0 ? { program, missing: null } : { program: null, missing: 'it could not be built' };
}
