import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { parseAst } from 'vitest/node';

/** A node of the ESTree that the test runner's own parser gives; TypeScript 7 has no compiler API to ask. */
export interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

export interface Source {
  /** Relative to the project, with forward slashes. */
  readonly path: string;
  readonly text: string;
  readonly tree: SyntaxNode;
}

export const projectRoot = join(import.meta.dirname, '../..');

/** Every source file below the given folders of the project, parsed, in path order. A folder that is not there is empty. */
export function readSources(folders: readonly string[]): Source[] {
  return folders
    .flatMap((folder) => filesBelow(join(projectRoot, folder)))
    .filter((file) => /\.(ts|mjs)$/.test(file) && !file.includes(`${sep}node_modules${sep}`))
    .map((file) => parseSource(relative(projectRoot, file).split(sep).join('/'), readFileSync(file, 'utf8')))
    .toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

function filesBelow(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
  } catch {
    return [];
  }
}

export function parseSource(path: string, text: string): Source {
  // oxlint-disable-next-line typescript/no-deprecated -- the runner re-exports only this; vite, which has the other, is no dependency of ours
  const tree: unknown = parseAst(text, { lang: 'ts' }, path);
  if (!isNode(tree)) throw new Error(`${path} could not be parsed`);
  return { path, text, tree };
}

export function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';
}

export type Visit = (node: SyntaxNode, parent: SyntaxNode | null, field: string) => void;

/** Calls `visit` for every node, parents first, with the field of the parent that holds it. */
export function walk(tree: SyntaxNode, visit: Visit): void {
  const step = (node: SyntaxNode, parent: SyntaxNode | null, field: string): void => {
    visit(node, parent, field);
    for (const [name, value] of Object.entries(node)) {
      for (const child of Array.isArray(value) ? value : [value]) {
        if (isNode(child)) step(child, node, name);
      }
    }
  };
  step(tree, null, '');
}

/** The line of an offset, from 1. */
export function lineOf(source: Source, offset: number): number {
  return source.text.slice(0, offset).split('\n').length;
}
