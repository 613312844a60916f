// A process of its own that starts the embedded Postgres, tells how it went in one line of JSON, and stays until it is
// told to go: by a signal, or by the end of its standard input.
import { EmbeddedPostgresError } from '../../src/embedded/error.ts';
import { startEmbeddedPostgres } from '../../src/embedded/embedded-postgres.ts';

const [dataDir = '', uid = '', durability = ''] = process.argv.slice(2);
// After the imports: the project may lie where that user cannot read it.
if (uid !== '') {
  process.setgroups?.([]);
  process.setgid?.(Number(uid));
  process.setuid?.(Number(uid));
}

const tell = (answer: object): void => {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
};

async function main(): Promise<void> {
  try {
    const postgres = await startEmbeddedPostgres({ dataDir, durable: durability === 'durable' ? 'on' : 'off', log: () => undefined });
    tell({ kind: 'started', url: postgres.url, pid: postgres.pid });
    process.stdin.resume().once('end', () => void postgres.stop());
  } catch (error) {
    if (!(error instanceof EmbeddedPostgresError)) throw error;
    tell({ kind: error.kind, message: error.message });
    process.stdin.destroy();
  }
}

void main();
