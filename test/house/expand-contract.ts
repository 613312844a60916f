/**
 * The rule of docs/operations.md, "Upgrades", as far as it can be read off a migration: the release before works on the tables of the next
 * one, so a migration adds. What takes away says from which release on that is missed by nobody.
 */

export interface Migration {
  readonly number: number;
  readonly sql: string;
}

/** What the database says of itself before a migration, and what was released last. */
export interface Standing {
  readonly servesFrom: number;
  /** The schema version of the last release. */
  readonly released: number;
}

interface Rule {
  readonly pattern: RegExp;
  readonly breaks: string;
}

/** Each breaks a release that does not expect it. */
const contracting: readonly Rule[] = [
  {
    pattern: /\bDROP (TABLE|COLUMN|SCHEMA|SEQUENCE|TYPE|FUNCTION|TRIGGER|INDEX|CONSTRAINT)\b/,
    breaks: 'drops what the release before may use',
  },
  { pattern: /\bDROP (DEFAULT|NOT NULL)\b/, breaks: 'lets rows be that the release before neither writes nor reads' },
  { pattern: /\bRENAME\b/, breaks: 'renames what the release before uses' },
  { pattern: /\bALTER COLUMN \S+ (SET DATA )?TYPE\b/, breaks: 'changes a type that the release before reads and writes' },
  { pattern: /\bSET NOT NULL\b/, breaks: 'demands a value that the release before may not write' },
  { pattern: /\bADD COLUMN (?!.*\bDEFAULT\b).*\bNOT NULL\b/, breaks: 'demands a value of a column that the release before does not know' },
];

/** So does this, but not of a table that comes with the same migration. */
const bounding: readonly Rule[] = [
  { pattern: /\bALTER TABLE (?<table>\S+) ADD CONSTRAINT\b/, breaks: 'binds rows that the release before writes' },
  { pattern: /\bCREATE UNIQUE INDEX .*?\bON (?<table>\S+)/, breaks: 'binds rows that the release before writes' },
];

/** What breaks the rule, one line each; empty is sound. */
export function breachesOf({ number, sql }: Migration, { servesFrom, released }: Standing): string[] {
  const commands = commandsOf(sql);
  const made = new Set(
    commands.flatMap((command) => /^CREATE TABLE (?:IF NOT EXISTS )?(?<table>\S+)/.exec(command)?.groups?.['table'] ?? []),
  );
  const told = versionTold(commands);
  if (told === null || told.version !== number) {
    return [`does not say its number: UPDATE "stint"."schema_version" SET "version" = ${number}`];
  }
  const from = told.servesFrom ?? servesFrom;
  if (from < servesFrom) return [`lets releases serve from ${from} on, and already those before ${servesFrom} must not`];
  if (from > released) return [`lets releases serve from ${from} on, and the last one that is out is ${released}: it must be able to`];
  if (from > servesFrom) return [];
  const found = commands.flatMap((command) => [
    ...contracting.filter(({ pattern }) => pattern.test(command)),
    ...bounding.filter(({ pattern }) => {
      const table = pattern.exec(command)?.groups?.['table'];
      return table !== undefined && !made.has(table);
    }),
  ]);
  return found.map(({ breaks }) => `${breaks}, and does not raise "serves_from"`);
}

/** In capitals but for names, each on one line; without comments, and without the bodies of functions, which change nothing by themselves. */
function commandsOf(sql: string): readonly string[] {
  const bare = sql
    .replaceAll(/\$(\w*)\$[\s\S]*?\$\1\$/g, "''")
    .replaceAll(/--.*$/gm, '')
    .replaceAll(/\/\*[\s\S]*?\*\//g, '');
  return bare
    .split(';')
    .flatMap((command) => clausesOf(command.replaceAll(/\s+/g, ' ').trim()))
    .filter((command) => command !== '')
    .map((command) => command.replaceAll(/"[^"]*"|'[^']*'|\w+/g, (word) => (/^["']/.test(word) ? word : word.toUpperCase())));
}

/** An ALTER TABLE of several clauses is as many commands. */
function clausesOf(command: string): readonly string[] {
  const [head = '', rest] = command.split(/(?<=^ALTER TABLE (?:IF EXISTS )?(?:ONLY )?\S+) /i);
  return rest === undefined ? [command] : rest.split(/, (?=(?:ADD|DROP|ALTER|RENAME|SET)\b)/i).map((clause) => `${head} ${clause}`);
}

function versionTold(commands: readonly string[]): { readonly version: number; readonly servesFrom: number | null } | null {
  const pattern = /^UPDATE "stint"\."schema_version" SET "version" = (?<version>\d+)(?:, "serves_from" = (?<from>\d+))?$/;
  const told = commands.map((command) => pattern.exec(command)?.groups).find((groups) => groups !== undefined);
  if (told === undefined) return null;
  return { version: Number(told['version']), servesFrom: told['from'] === undefined ? null : Number(told['from']) };
}
