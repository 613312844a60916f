import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Ground } from './calls.ts';

const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const script = join(import.meta.dirname, 'client-in-child.ts');

/** Resolves when the service has heard each of the calls that park, so many times. */
export async function startClientProcess(
  address: string,
  { namespace, waitingJobId }: Pick<Ground, 'namespace' | 'waitingJobId'>,
  times: number,
): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['--import', tsx, script, address, namespace, waitingJobId, String(times)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  await once(child, 'message');
  return child;
}

/** As a machine that loses its power: the process says nothing to anybody, its kernel closes what it had open. */
export async function kill(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}
