import { setTimeout as delay } from 'node:timers/promises';
import { run } from './command.ts';
import { EmbeddedPostgresError } from './error.ts';
import { findFolderUse, type FolderUse } from './server-file.ts';

/** A server that lost its service shuts down within this time, unless its disk is very slow. */
const FORMER_SERVER_WAIT_MS = 10_000;
const LOOK_AGAIN_MS = 50;

/**
 * Waits while a former server on the folder is on its way out. Answers the pid of a left-over pid file that belongs to
 * somebody else, or null. Throws `in_use` when a live service serves the folder, or the former one does not go.
 */
export async function awaitFolderFree(clusterDir: string): Promise<number | null> {
  const deadline = performance.now() + FORMER_SERVER_WAIT_MS;
  let asked = false;
  for (;;) {
    const use = await findFolderUse(clusterDir);
    if (use.kind === 'free') return null;
    if (use.kind === 'stale') return use.pid;
    if (!isLeaving(use) || performance.now() > deadline) throw inUse(clusterDir, use);
    if (!use.stopping && !asked) {
      // Its service is dead, and so is what should have stopped it: nobody else will.
      asked = true;
      await run({ file: '/bin/sh', args: ['-c', 'kill -s INT "$1"', 'sh', String(use.pid)] });
    }
    await delay(LOOK_AGAIN_MS);
  }
}

type Served = Extract<FolderUse, { kind: 'served' }>;

/** A server that some person started by hand has no service at all, and is not ours to stop. */
function isLeaving({ stopping, service }: Served): boolean {
  return stopping || (service !== null && !service.alive);
}

function inUse(clusterDir: string, { pid, service }: Served): EmbeddedPostgresError {
  const user = service?.alive === true ? `the service with pid ${service.pid} (its Postgres is ${pid})` : `the Postgres with pid ${pid}`;
  return new EmbeddedPostgresError(
    'in_use',
    `the data folder ${clusterDir} is in use by ${user}: stop that process, or set STINT_DATA_DIR to another folder`,
  );
}

/** For a lock that is held by nobody we can see. */
export function inUseElsewhere(clusterDir: string): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'in_use',
    `the data folder ${clusterDir} is in use by a Postgres that cannot be seen from here, perhaps in another container: stop that one, or set STINT_DATA_DIR to another folder`,
  );
}
