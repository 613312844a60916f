import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { BareImage } from './bare-build.ts';
import { lastOf, pairsOf } from './dockerfile.ts';

const isRoot = process.getuid?.() === 0;

export interface ImageProcess {
  /** The two addresses of the line that it prints when it serves; null when it ended instead. */
  readonly serving: Promise<{ readonly grpc: string; readonly admin: string } | null>;
  readonly ended: Promise<{ readonly code: number | null; readonly output: string; readonly errors: readonly string[] }>;
  /** What has the pid, to read what the system says of it. */
  readonly pid: number | undefined;
  stop(signal: NodeJS.Signals): void;
}

export interface ImageStart {
  readonly environment: Record<string, string>;
  /** What stands behind the entry point: a container's arguments. */
  readonly words?: readonly string[];
}

/** Starts the entry point as the image does: its working folder, variables and user, with nothing of our environment. */
export function startImage(image: BareImage, { environment, words: behind = [] }: ImageStart): ImageProcess {
  const { root, final } = image;
  const [program = '', ...words] = [...entryPoint(image), ...behind];
  const [uid = 0, gid = 0] = lastOf(final, 'USER').split(':').map(Number);
  const child = spawn(join(root, program), words, {
    cwd: join(root, lastOf(final, 'WORKDIR')),
    env: { ...pairsOf(final, 'ENV'), ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    // Only root can become somebody else; others are nobody's root either.
    ...(isRoot ? { uid, gid } : {}),
  });
  let output = '';
  let errors = '';
  child.stderr.on('data', (data: Buffer) => (errors += data.toString()));
  const ended = once(child, 'close').then(([code]: unknown[]) => ({
    code: typeof code === 'number' ? code : null,
    output,
    errors: errors.split('\n').filter((line) => line !== ''),
  }));
  const serving = new Promise<{ grpc: string; admin: string } | null>((resolve) => {
    child.stdout.on('data', (data: Buffer) => {
      output += data.toString();
      const [, grpc, admin] = /serves gRPC on (\S+) \(admin ([^,]+),/.exec(output) ?? [];
      if (grpc !== undefined && admin !== undefined) resolve({ grpc, admin });
    });
    void ended.then(() => resolve(null));
  });
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return { serving, ended, pid: child.pid, stop: (signal) => void child.kill(signal) };
}

/** In its exec form; the shell form, which would need a shell and keep the signals, is no JSON. */
export function entryPoint({ final }: BareImage): readonly string[] {
  const words: unknown = JSON.parse(lastOf(final, 'ENTRYPOINT'));
  if (!Array.isArray(words)) throw new Error('ENTRYPOINT is not in exec form');
  return words.map(String);
}
