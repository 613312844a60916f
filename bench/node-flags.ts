import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const manifest = z.object({ scripts: z.object({ start: z.string() }) });

/** From the sources, and from what is built of them. */
const manifests = ['../package.json', '../../package.json'];

/** With which `npm start` runs Node: whoever measures the service runs it so, too. */
export function nodeFlags(): string[] {
  const paths = manifests.map((path) => join(import.meta.dirname, path));
  const { scripts } = manifest.parse(JSON.parse(readFileSync(paths.find(existsSync) ?? '', 'utf8')));
  return scripts.start.split(' ').filter((word) => word.startsWith('--'));
}
