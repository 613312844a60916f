import { isNode, lineOf, type Source, type SyntaxNode, walk } from './source.ts';

/** Each rule tells what it found as `path:line what`; empty is clean. */
export type StyleRule = (source: Source) => string[];

const longestFunctionLines = 70;
const longestFileLines = 300;

const at = (source: Source, offset: number, what: string): string => `${source.path}:${lineOf(source, offset)} ${what}`;

/** A rule that looks at one node at a time. */
function nodeRule(what: string, matches: (node: SyntaxNode, parent: SyntaxNode | null) => boolean): StyleRule {
  return (source) => {
    const found: string[] = [];
    walk(source.tree, (node, parent) => {
      if (matches(node, parent)) found.push(at(source, node.start, what));
    });
    return found;
  };
}

const functionNodes = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression']);

export const longFunctions: StyleRule = (source) => {
  const found: string[] = [];
  walk(source.tree, (node, parent) => {
    if (!functionNodes.has(node.type) || isSuiteBody(parent)) return;
    const lines = lineOf(source, node.end) - lineOf(source, node.start) + 1;
    if (lines > longestFunctionLines) found.push(at(source, node.start, `a function of ${lines} lines`));
  });
  return found;
};

/** `describe(…, () => {…})` is a chapter of sentences, not a function that anybody reads as one. */
function isSuiteBody(parent: SyntaxNode | null): boolean {
  let callee = parent?.type === 'CallExpression' ? parent['callee'] : null;
  while (isNode(callee) && callee.type !== 'Identifier') callee = callee['callee'] ?? callee['object'];
  return isNode(callee) && callee['name'] === 'describe';
}

export const longFiles: StyleRule = (source) => {
  const lines = source.text.trimEnd().split('\n').length;
  return lines > longestFileLines ? [`${source.path}:1 a file of ${lines} lines`] : [];
};

export const defaultExports = nodeRule(
  'a default export',
  (node) =>
    node.type === 'ExportDefaultDeclaration' ||
    (node.type === 'ExportSpecifier' && isNode(node['exported']) && node['exported']['name'] === 'default'),
);

export const anyTypes = nodeRule('any', (node) => node.type === 'TSAnyKeyword');

export const enums = nodeRule('a TypeScript enum', (node) => node.type === 'TSEnumDeclaration');

export const decorators = nodeRule('a decorator', (node) => node.type === 'Decorator');

export const nonNullAssertions = nodeRule('a non-null assertion', (node) => node.type === 'TSNonNullExpression');

const assertions = (node: SyntaxNode): boolean => {
  if (node.type === 'TSTypeAssertion') return true;
  if (node.type !== 'TSAsExpression' || !isNode(node['typeAnnotation'])) return false;
  const name = node['typeAnnotation']['typeName'];
  return !(isNode(name) && name['name'] === 'const');
};

/** `as const` narrows and is welcome, and `parse…` has just looked; every other `as` claims what nobody checked. */
export const typeAssertions: StyleRule = (source) => {
  const parsers: SyntaxNode[] = [];
  const found: SyntaxNode[] = [];
  walk(source.tree, (node) => {
    const name = node.type === 'FunctionDeclaration' && isNode(node['id']) ? node['id']['name'] : null;
    if (typeof name === 'string' && name.startsWith('parse')) parsers.push(node);
    if (assertions(node)) found.push(node);
  });
  return found
    .filter((node) => !parsers.some((parser) => parser.start <= node.start && node.end <= parser.end))
    .map((node) => at(source, node.start, 'a type assertion'));
};

/** `sql.raw`, `sql.identifier` and `client.unsafe` put text into a statement as it is. */
export const rawSql = nodeRule('raw SQL', (node) => {
  if (node.type !== 'MemberExpression' || !isNode(node['property'])) return false;
  const name = node['property']['name'] ?? node['property']['value'];
  if (name === 'unsafe') return true;
  const ofSql = isNode(node['object']) && node['object']['name'] === 'sql';
  return ofSql && (name === 'raw' || name === 'identifier');
});

const historyWords = new RegExp(
  [
    'no longer',
    'used to (be|have|do|return|throw|live|take|use|call)\\b',
    'previously',
    'formerly',
    'originally',
    'legacy',
    '(was|were|has been|have been) (renamed|replaced by|refactored|rewritten)',
    'now (uses|returns|throws|takes|lives|supports|also|instead)\\b',
    'as of (now|today)',
    'the old (version|code|behaviou?r|implementation|way)',
  ].join('|'),
  'i',
);

/** A comment tells what is; the story of how it came about belongs to the commit. */
export const historyInComments: StyleRule = (source) =>
  commentsOf(source)
    .filter(({ text }) => historyWords.test(text))
    .map(({ start, text }) => at(source, start, `history in a comment: ${historyWords.exec(text)?.[0] ?? ''}`));

interface Comment {
  readonly start: number;
  readonly text: string;
}

/** The parser keeps no comments, so they are what looks like one outside every literal. */
function commentsOf(source: Source): Comment[] {
  // Offsets count UTF-16 units, so the text is split by unit and not by character.
  const units = source.text.split('');
  walk(source.tree, (node) => {
    if (node.type === 'Literal' || node.type === 'TemplateElement') units.fill(' ', node.start, node.end);
  });
  const blanked = units.join('');
  return [...blanked.matchAll(/\/\/[^\n]*|\/\*[\s\S]*?\*\//g)].map((match) => ({
    start: match.index,
    text: source.text.slice(match.index, match.index + match[0].length),
  }));
}
