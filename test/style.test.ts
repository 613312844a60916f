import { describe, expect, it } from 'vitest';
import { parseSource, readSources } from './house/source.ts';
import * as rules from './house/style-rules.ts';

/** Files that may stand above the limit of lines, each with its reason. */
const longFilesAllowed: Record<string, string> = {
  'src/repository/schema.ts': 'the tables are read together: each leans on the others',
};

/** Where text becomes part of a statement as it is; the file says why that is safe there. */
const rawSqlAllowed: Record<string, string> = {
  'src/repository/migrate.ts': 'sends the text of a migration, a file of ours',
  'src/repository/database.ts': 'sends the text of a statement, which holds no value: values travel as parameters',
};

/** Parsers that are whole files: they have just looked at the value whose type they name. */
const assertionsAllowed: Record<string, string> = {
  'src/repository/statement.ts': 'the names of the parameters were just read from the template',
  'src/repository/events/journal-columns.ts': 'a row parser',
};

const shipped = readSources(['src', 'examples', 'tools']);
const tests = readSources(['test', 'bench']);
const everything = [...shipped, ...tests];
const only = (folder: string) => everything.filter(({ path }) => path.startsWith(folder));
const outside = (allowed: Record<string, string>, findings: string[]) =>
  findings.filter((finding) => !(finding.slice(0, finding.indexOf(':')) in allowed));

describe('the code', () => {
  it.each([
    ['functions past 70 lines', rules.longFunctions, everything],
    ['default exports', rules.defaultExports, everything],
    ['any', rules.anyTypes, everything],
    ['TypeScript enums', rules.enums, everything],
    ['decorators', rules.decorators, everything],
    ['non-null assertions', rules.nonNullAssertions, shipped],
    ['history told in comments', rules.historyInComments, everything],
  ])('has no %s', (_name, rule, sources) => {
    expect(sources.flatMap(rule)).toEqual([]);
  });

  it('has no file past 300 lines without a reason', () => {
    expect(outside(longFilesAllowed, everything.flatMap(rules.longFiles))).toEqual([]);
  });

  it('writes raw SQL in the allowed places only', () => {
    expect(outside(rawSqlAllowed, only('src/').flatMap(rules.rawSql))).toEqual([]);
  });

  it('asserts a type in parsers only', () => {
    expect(outside(assertionsAllowed, only('src/').flatMap(rules.typeAssertions))).toEqual([]);
  });

  it('has no permission that nobody needs', () => {
    const users = (rule: rules.StyleRule) => new Set(everything.filter((s) => rule(s).length > 0).map(({ path }) => path));
    const idle = (allowed: Record<string, string>, rule: rules.StyleRule) => Object.keys(allowed).filter((path) => !users(rule).has(path));
    expect(idle(longFilesAllowed, rules.longFiles)).toEqual([]);
    expect(idle(rawSqlAllowed, rules.rawSql)).toEqual([]);
    expect(idle(assertionsAllowed, rules.typeAssertions)).toEqual([]);
  });
});

const lines = (count: number) => 'go();\n'.repeat(count);

describe('each rule', () => {
  it.each<[string, rules.StyleRule, string]>([
    ['a function of 71 lines', rules.longFunctions, `function f() {\n${lines(69)}}`],
    ['an arrow of 71 lines', rules.longFunctions, `const f = () => {\n${lines(69)}}`],
    ['a method of 71 lines', rules.longFunctions, `class C { m() {\n${lines(69)}} }`],
    ['a file of 301 lines', rules.longFiles, lines(301)],
    ['a default export', rules.defaultExports, 'export default 1'],
    ['a default export by renaming', rules.defaultExports, 'const a = 1; export { a as default }'],
    ['any in a signature', rules.anyTypes, 'function f(a: any) {}'],
    ['any in a type argument', rules.anyTypes, 'const m = new Map<string, any[]>()'],
    ['an enum', rules.enums, 'export enum State { A }'],
    ['a decorator', rules.decorators, '@frozen class C {}'],
    ['a non-null assertion', rules.nonNullAssertions, 'a!.b'],
    ['a type assertion', rules.typeAssertions, 'const a = b as unknown as C'],
    ['sql.raw', rules.rawSql, 'sql.raw(text)'],
    ['sql.identifier', rules.rawSql, 'sql.identifier(text)'],
    ['unsafe', rules.rawSql, 'client.unsafe(text)'],
    ['history in a line comment', rules.historyInComments, 'go(); // no longer needed'],
    ['history in a block comment', rules.historyInComments, '/** The lease was renamed. */'],
    ['history after text beyond ASCII', rules.historyInComments, `const a = '→ 😀'; // this used to be a map`],
  ])('finds %s', (_name, rule, text) => {
    expect(rule(parseSource('src/a.ts', text)).length).toBeGreaterThan(0);
  });

  it.each<[string, rules.StyleRule, string]>([
    ['a function of 70 lines', rules.longFunctions, `function f() {\n${lines(68)}}`],
    ['a long describe', rules.longFunctions, `describe('x', () => {\n${lines(100)}})`],
    ['a long describe.each', rules.longFunctions, `describe.each([1])('x', () => {\n${lines(100)}})`],
    ['a file of 300 lines', rules.longFiles, lines(300)],
    ['any as a word', rules.anyTypes, `const any = 'any'`],
    [
      'an assertion of a parser',
      rules.typeAssertions,
      'function parseId(text: string): Id | null { return ok(text) ? (text as Id) : null }',
    ],
    ['as const', rules.typeAssertions, `const a = [1] as const`],
    ['a sql template', rules.rawSql, 'sql`select ${id}`'],
    ['history in a string', rules.historyInComments, `const a = 'no longer // no longer'`],
    ['the present in a comment', rules.historyInComments, '// The time is now; a hash is used to compare.'],
  ])('leaves alone %s', (_name, rule, text) => {
    expect(rule(parseSource('src/a.ts', text))).toEqual([]);
  });

  it('tells path and line', () => {
    expect(rules.anyTypes(parseSource('src/a.ts', '\n\nlet a: any'))).toEqual(['src/a.ts:3 any']);
  });
});
