import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const manifest = z.object({ scripts: z.object({ start: z.string() }) });

/** With which `npm start` runs Node: whoever measures the service runs it so, too. */
export function nodeFlags(): string[] {
  // Compiled, this lies a folder deeper.
  const file = ['../package.json', '../../package.json'].map((path) => join(import.meta.dirname, path)).find((path) => existsSync(path));
  if (file === undefined) throw new Error('package.json is not where it should be');
  const { scripts } = manifest.parse(JSON.parse(readFileSync(file, 'utf8')));
  return scripts.start.split(' ').filter((word) => word.startsWith('--'));
}
