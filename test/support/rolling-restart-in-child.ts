// Three replicas over a Postgres of their own, for the tests in other languages. Prints "replicas ADDRESS,ADDRESS,ADDRESS" once they
// serve; for each line that it is sent restarts one after the other, and prints "restarted". Ends when its input does.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { startEmbeddedPostgres } from '../../src/embedded/embedded-postgres.ts';
import { startReplicas } from './replicas.ts';
import { restartEach } from './rolling-restart.ts';

const COUNT = 3;

// Not below a folder of the caller's: the embedded Postgres may run as another user.
const folder = mkdtempSync(join(tmpdir(), 'stint-restart-'));
const postgres = await startEmbeddedPostgres({ dataDir: folder, log: () => undefined });
try {
  const replicas = await startReplicas(postgres.url, COUNT);
  try {
    console.log(`replicas ${replicas.map(({ address }) => address).join(',')}`);
    for await (const _line of createInterface({ input: process.stdin })) {
      await restartEach(replicas);
      console.log('restarted');
    }
  } finally {
    await Promise.all(replicas.map((replica) => replica.close()));
  }
} finally {
  await postgres.stop();
  rmSync(folder, { recursive: true, force: true });
}
