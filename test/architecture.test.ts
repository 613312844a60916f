import { describe, expect, it } from 'vitest';
import { importCircles, importsOf, lawBreaches, processUses, vagueFiles } from './house/import-law.ts';
import { parseSource, readSources } from './house/source.ts';

const sources = readSources(['src', 'examples']);
const imports = sources.flatMap(importsOf);
const graph = (path: string, text: string) => importsOf(parseSource(path, text));

describe('the import law', () => {
  it('is kept by every file', () => {
    expect(lawBreaches(imports)).toEqual([]);
  });

  it('reads a graph of some size, so that the line above means something', () => {
    expect(imports.length).toBeGreaterThan(50);
  });

  it.each([
    ['src/domain/job.ts', `import { lease } from '../engine/workers/claim.ts'`],
    ['src/domain/job.ts', `import { randomUUID } from 'node:crypto'`],
    ['src/engine/jobs/enqueue.ts', `import type { Db } from '../../repository/database.ts'`],
    ['src/engine/jobs/enqueue.ts', `import { sql } from 'drizzle-orm'`],
    ['src/engine/jobs/enqueue.ts', `import { status } from '@grpc/grpc-js'`],
    ['src/repository/row.ts', `import { claim } from '../engine/workers/claim.ts'`],
    ['src/repository/row.ts', `import { Job } from '../../gen/stint/v1/job.ts'`],
    ['src/feed/event-hub.ts', `import { tail } from '../repository/events/tail.ts'`],
    ['src/feed/doorbell.ts', `import postgres from 'postgres'`],
    ['src/grpc/decode.ts', `import { rows } from '../repository/row.ts'`],
    ['src/grpc/decode.ts', `import { eq } from 'drizzle-orm/pg-core'`],
    ['src/ops/logger.ts', `import { Server } from '@grpc/grpc-js'`],
    ['src/ops/health.ts', `import { limits } from '../domain/limits.ts'`],
    ['src/embedded/launcher.ts', `import postgres from 'postgres'`],
    ['src/cli/stint.ts', `import { transition } from '../domain/transition.ts'`],
    ['src/app.ts', `import postgres from 'postgres'`],
    ['src/cellar/wine.ts', `import { job } from '../domain/job.ts'`],
    ['examples/worker.ts', `import { limits } from '../src/domain/limits.ts'`],
  ])('refuses in %s: %s', (path, text) => {
    expect(lawBreaches(graph(path, text))).toHaveLength(1);
  });

  it.each([
    ['a type import', `import type { A } from '../engine/a.ts'`],
    ['a re-export', `export { a } from '../engine/a.ts'`],
    ['a re-export of everything', `export * from '../engine/a.ts'`],
    ['a dynamic import', `const a = await import('../engine/a.ts')`],
    ['an import inside a type', `type A = import('../engine/a.ts').A`],
  ])('counts %s', (_name, text) => {
    expect(lawBreaches(graph('src/domain/job.ts', text))).toHaveLength(1);
  });

  it('does not take an import in a comment or a string for one', () => {
    const text = `// import '../engine/a.ts'\nconst a = "import '../engine/a.ts'"`;
    expect(graph('src/domain/job.ts', text)).toEqual([]);
  });
});

describe('the contract suite', () => {
  const fromSource = (found: ReturnType<typeof graph>) => found.filter(({ target }) => target?.startsWith('src/') === true);

  it('knows the service by its wire only', () => {
    expect(fromSource(readSources(['test/contract']).flatMap(importsOf))).toEqual([]);
  });

  it('is found out when it does not', () => {
    expect(fromSource(graph('test/contract/claim.test.ts', `import { LIMITS } from '../../src/domain/limits.ts'`))).toHaveLength(1);
  });
});

describe('the import graph', () => {
  it('has no circle', () => {
    expect(importCircles(imports)).toEqual([]);
  });

  it('shows a circle of three as the path that closes it', () => {
    const circle = [
      ...graph('src/domain/a.ts', `import './b.ts'`),
      ...graph('src/domain/b.ts', `import type { C } from './c.ts'`),
      ...graph('src/domain/c.ts', `export * from './a.ts'`),
    ];
    expect(importCircles(circle)).toEqual(['src/domain/a.ts → src/domain/b.ts → src/domain/c.ts → src/domain/a.ts']);
  });
});

describe('the global process', () => {
  it('is touched by main.ts only', () => {
    const others = sources.filter(({ path }) => path.startsWith('src/') && path !== 'src/main.ts');
    expect(others.flatMap(processUses)).toEqual([]);
  });

  it.each([
    ['process.exit(1)'],
    ['const { env } = process'],
    [`import { env } from 'node:process'`],
    ['f({ process })'],
    [`globalThis['x'](process)`],
  ])('is seen in: %s', (text) => {
    expect(processUses(parseSource('src/app.ts', text)).length).toBeGreaterThan(0);
  });

  it('is not seen in a property of that name', () => {
    expect(processUses(parseSource('src/app.ts', 'state.process(1); f({ process: 1 })'))).toEqual([]);
  });
});

describe('file names', () => {
  it('say what is in the file', () => {
    expect(vagueFiles(sources.map(({ path }) => path))).toEqual([]);
  });

  it.each(['src/domain/utils.ts', 'src/grpc/helpers/x.ts', 'src/engine/types.ts', 'src/domain/index.ts'])(
    'are refused when they do not: %s',
    (path) => {
      expect(vagueFiles([path])).toEqual([path]);
    },
  );
});
