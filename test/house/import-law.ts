import { posix } from 'node:path';
import { isNode, type Source, type SyntaxNode, walk } from './source.ts';

interface RoomLaw {
  /** A folder (with its slash) or one file. The longest match is a file's room. */
  readonly room: string;
  /** Other folders and files it may import; its own is always open. */
  readonly mayImport: readonly string[];
  /** Packages by name; `@scope/` stands for the whole scope, `node:` for every built-in module. */
  readonly packages: readonly string[];
}

const database = ['drizzle-orm', 'postgres'];
const wire = ['@grpc/', '@bufbuild/protobuf'];

/** The import law of docs/architecture.md. Every arrow points inward; nothing stands outside a room. */
const importLaw: readonly RoomLaw[] = [
  { room: 'src/domain/', mayImport: [], packages: [] },
  { room: 'src/engine/', mayImport: ['src/domain/'], packages: ['node:'] },
  { room: 'src/repository/', mayImport: ['src/engine/ports/', 'src/domain/'], packages: [...database, 'node:'] },
  { room: 'src/feed/', mayImport: ['src/engine/ports/', 'src/domain/'], packages: ['node:'] },
  {
    room: 'src/grpc/',
    mayImport: ['src/engine/', 'src/domain/', 'gen/', 'src/security/', 'src/ops/'],
    packages: [...wire, 'node:'],
  },
  // Metrics and tracing stand behind ports of the engine, as storage does.
  { room: 'src/ops/', mayImport: ['src/engine/ports/'], packages: ['pino', 'prom-client', 'node:'] },
  { room: 'src/ops/trace-context.ts', mayImport: ['src/ops/'], packages: ['@opentelemetry/api', 'node:'] },
  { room: 'src/ops/tracing.ts', mayImport: ['src/engine/ports/', 'src/ops/'], packages: ['@opentelemetry/api', 'node:'] },
  { room: 'src/ops/tracing-sdk.ts', mayImport: ['src/ops/'], packages: ['@opentelemetry/', 'node:'] },
  // Health and reflection are gRPC services of their own libraries: they hand a ready service to the server.
  { room: 'src/ops/health.ts', mayImport: ['src/ops/'], packages: ['@grpc/', 'grpc-health-check', 'node:'] },
  { room: 'src/ops/reflection.ts', mayImport: ['src/ops/'], packages: ['@grpc/', 'grpc-health-check', 'node:'] },
  { room: 'src/security/', mayImport: [], packages: ['node:'] },
  { room: 'src/embedded/', mayImport: [], packages: ['node:'] },
  { room: 'src/cli/', mayImport: ['gen/'], packages: [...wire, 'node:'] },
  { room: 'src/config.ts', mayImport: ['src/domain/'], packages: ['zod', 'node:'] },
  { room: 'src/app.ts', mayImport: ['src/', 'gen/'], packages: ['node:'] },
  { room: 'src/main.ts', mayImport: ['src/', 'gen/'], packages: ['node:'] },
  // A client like any other: what an example needs from the service, everyone can have.
  { room: 'examples/', mayImport: ['gen/'], packages: ['@grpc/grpc-js', 'cli-progress', 'node:'] },
];

export interface Import {
  readonly from: string;
  readonly specifier: string;
  /** Path of the imported file within the project; null for a package. */
  readonly target: string | null;
}

/** Static, type-only, dynamic and `import('…')` type imports and re-exports: all of them bind. */
export function importsOf(source: Source): Import[] {
  const found: Import[] = [];
  walk(source.tree, (node) => {
    const specifier = importedSpecifier(node);
    if (specifier === null) return;
    const target = specifier.startsWith('.') ? posix.join(posix.dirname(source.path), specifier) : null;
    found.push({ from: source.path, specifier, target });
  });
  return found;
}

const importingNodes = new Set(['ImportDeclaration', 'ExportNamedDeclaration', 'ExportAllDeclaration', 'ImportExpression', 'TSImportType']);

function importedSpecifier(node: SyntaxNode): string | null {
  if (!importingNodes.has(node.type) || !isNode(node['source'])) return null;
  const { value } = node['source'];
  return typeof value === 'string' ? value : null;
}

/** What breaks the law, one line each; empty is sound. */
export function lawBreaches(imports: readonly Import[], law: readonly RoomLaw[] = importLaw): string[] {
  return imports.flatMap((edge) => {
    const room = roomOf(edge.from, law);
    if (room === null) return [`${edge.from} stands in no room of the import law`];
    const allowed = edge.target === null ? mayUsePackage(room, edge.specifier) : mayImportFile(room, edge.target);
    return allowed ? [] : [`${edge.from} must not import ${edge.target ?? edge.specifier}`];
  });
}

function roomOf(path: string, law: readonly RoomLaw[]): RoomLaw | null {
  const matches = law.filter(({ room }) => within(path, room));
  return matches.toSorted((a, b) => b.room.length - a.room.length)[0] ?? null;
}

function within(path: string, place: string): boolean {
  return place.endsWith('/') ? path.startsWith(place) : path === place;
}

function mayImportFile(law: RoomLaw, target: string): boolean {
  return [law.room, ...law.mayImport].some((place) => within(target, place));
}

function mayUsePackage(law: RoomLaw, specifier: string): boolean {
  return law.packages.some((name) =>
    /[/:]$/.test(name) ? specifier.startsWith(name) : specifier === name || specifier.startsWith(`${name}/`),
  );
}

/** Circles among the project's own files, each as the path that closes it. */
export function importCircles(imports: readonly Import[]): string[] {
  const targets = new Map<string, string[]>();
  for (const { from, target } of imports) {
    if (target !== null) targets.set(from, [...(targets.get(from) ?? []), target]);
  }
  const circles: string[] = [];
  const finished = new Set<string>();
  const follow = (file: string, trail: readonly string[]): void => {
    if (finished.has(file)) return;
    const at = trail.indexOf(file);
    if (at >= 0) {
      circles.push([...trail.slice(at), file].join(' → '));
      return;
    }
    for (const next of targets.get(file) ?? []) follow(next, [...trail, file]);
    finished.add(file);
  };
  for (const file of targets.keys()) follow(file, []);
  return circles;
}

/** Lines that touch the global `process` or import it. */
export function processUses(source: Source): string[] {
  const found: string[] = [];
  walk(source.tree, (node, parent, field) => {
    const named = node.type === 'Identifier' && node['name'] === 'process' && !isOnlyAName(parent, field);
    if (named || importedSpecifier(node) === 'node:process' || importedSpecifier(node) === 'process') {
      found.push(`${source.path} touches process: ${source.text.slice(node.start, node.end + 20).split('\n')[0]}`);
    }
  });
  return found;
}

/** `x.process` and `{ process: x }` name a property, not the global. */
function isOnlyAName(parent: SyntaxNode | null, field: string): boolean {
  if (parent === null || parent['computed'] === true) return false;
  return field === 'property' || (field === 'key' && parent['shorthand'] !== true);
}

const vagueNames = new Set(['utils', 'util', 'helpers', 'helper', 'types', 'common', 'misc', 'manager', 'shared']);

/** Files and folders whose name says nothing of what is in them; `index` is a barrel. */
export function vagueFiles(paths: readonly string[]): string[] {
  return paths.filter((path) =>
    path
      .split('/')
      .slice(1)
      .map((part) => part.split('.')[0] ?? '')
      .some((name) => vagueNames.has(name) || name === 'index'),
  );
}
