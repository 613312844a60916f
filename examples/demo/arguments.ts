import { readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';

export interface DemoArguments {
  /** The folder whose files are hashed. */
  readonly folder: string;
  /** Where the service listens, as a client reaches it. */
  readonly address: string;
}

/** Something the caller can mend; shown as one line. */
export class DemoProblem extends Error {}

const projectRoot = join(import.meta.dirname, '../../..');

/** Without a folder: the project's own tree with `node_modules`, some thousands of files. */
export function parseArguments(args: readonly string[], listen: string | undefined): DemoArguments {
  const [folder = projectRoot, ...more] = args;
  if (more.length > 0 || folder.startsWith('-')) throw new DemoProblem('usage: npm run demo [-- DIR]');
  const problem = folderProblem(folder);
  if (problem !== null) throw new DemoProblem(`cannot read ${folder}: ${problem}. Name a folder that you may read: npm run demo -- DIR`);
  return { folder: resolve(folder), address: reachable(listen ?? '127.0.0.1:50051') };
}

function folderProblem(folder: string): string | null {
  try {
    if (!statSync(folder).isDirectory()) return 'not a folder';
    readdirSync(folder);
    return null;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    return code === 'ENOENT' ? 'no such folder' : String(code ?? error);
  }
}

/** A service that listens on every interface is reached on this one. */
function reachable(listen: string): string {
  return listen.replace(/^(0\.0\.0\.0|\[::\]):/, '127.0.0.1:');
}
