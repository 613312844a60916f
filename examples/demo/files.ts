import { type Dirent, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DemoProblem } from './arguments.ts';

/** A file as it was when its job was made, so that one that changed meanwhile is not taken for a wrong result. */
export interface DemoFile {
  readonly path: string;
  readonly bytes: number;
  readonly modifiedMs: number;
}

/** The ledger of the demo keeps every event in memory: some 5 KB a file. */
const mostFiles = 100_000;

/** What changes all the time is no input: the embedded database and the repository's own store. */
const leftOut = new Set(['.stint', '.git']);

/** Every regular file below the folder that can be looked at; links are not followed. */
export function listFiles(folder: string): DemoFile[] {
  const files: DemoFile[] = [];
  const folders = [folder];
  for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
    for (const entry of entriesOf(next)) {
      const path = join(next, entry.name);
      if (entry.isDirectory() && !leftOut.has(entry.name)) folders.push(path);
      const file = entry.isFile() ? lookAt(path) : null;
      if (file !== null) files.push(file);
      if (files.length > mostFiles) throw new DemoProblem(`${folder} holds more than ${mostFiles} files: name a smaller folder`);
    }
  }
  if (files.length === 0) throw new DemoProblem(`${folder} holds no files: name a folder that does`);
  return files;
}

function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}

export function lookAt(path: string): DemoFile | null {
  try {
    const { size, mtimeMs } = statSync(path);
    return { path, bytes: size, modifiedMs: mtimeMs };
  } catch {
    return null;
  }
}
