import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** As the project's package.json tells it; that lies at a different height above the sources and the built code. */
export function readVersion(): string {
  let folder = import.meta.dirname;
  while (folder !== dirname(folder)) {
    const version = versionIn(join(folder, 'package.json'));
    if (version !== null) return version;
    folder = dirname(folder);
  }
  return 'unknown';
}

function versionIn(file: string): string | null {
  try {
    const manifest: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (typeof manifest !== 'object' || manifest === null || !('version' in manifest)) return null;
    return typeof manifest.version === 'string' ? manifest.version : null;
  } catch {
    return null;
  }
}
