import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

export interface ServiceProcess {
  readonly child: ChildProcess;
  /** The addresses of the line that it prints when it serves; null when it ended instead. */
  readonly serving: Promise<{ readonly grpc: string; readonly admin: string } | null>;
  /** Code and what stood on standard error, without the log. */
  readonly ended: Promise<{ readonly code: number | null; readonly refusals: string[]; readonly log: string }>;
}

let built = false;

/** Once a process. Nothing to do after `npm test` has built; otherwise what runs would not be what was just edited. */
export function buildService(): void {
  if (built) return;
  built = true;
  execFileSync(process.execPath, [join(root, 'tools/build.mjs')], { stdio: 'inherit' });
}

/** The real process, on free ports unless told otherwise; nothing of our own environment reaches it. */
export function spawnService(environment: Record<string, string>): ServiceProcess {
  const child = spawn(process.execPath, [join(root, 'dist/src/main.js')], {
    cwd: root,
    env: { PATH: process.env['PATH'] ?? '', STINT_LISTEN: '127.0.0.1:0', STINT_ADMIN_LISTEN: '127.0.0.1:0', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  child.stderr.on('data', (data: Buffer) => (errors += data.toString()));
  const ended = new Promise<{ code: number | null; refusals: string[]; log: string }>((resolve) => {
    child.once('close', (code) =>
      resolve({ code, refusals: errors.split('\n').filter((line) => line.startsWith('stint: ')), log: errors }),
    );
  });
  const serving = new Promise<{ grpc: string; admin: string } | null>((resolve) => {
    child.stdout.on('data', (data: Buffer) => {
      output += data.toString();
      const { grpc, admin } = /serves gRPC on (?<grpc>\S+) \(admin (?<admin>[^,]+),/.exec(output)?.groups ?? {};
      if (grpc !== undefined && admin !== undefined) resolve({ grpc, admin });
    });
    void ended.then(() => resolve(null));
  });
  return { child, serving, ended };
}
