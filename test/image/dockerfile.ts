import { readFileSync } from 'node:fs';

/** One instruction with its continuation lines joined, its variables filled in. */
export interface Instruction {
  readonly keyword: string;
  readonly text: string;
}

export interface Stage {
  /** Null when the stage has no name. */
  readonly name: string | null;
  readonly base: string;
  readonly instructions: readonly Instruction[];
}

/**
 * The stages of a Dockerfile, as far as ours goes: no heredocs, no flags but `--from`, variables as `${NAME}`. Throws at what it
 * does not know, so that what is built here is what a container engine would build.
 */
export function readStages(file: string): readonly Stage[] {
  const stages: (Stage & { instructions: Instruction[] })[] = [];
  const globals = new Map<string, string>();
  let variables = new Map<string, string>();
  for (const { keyword, text: written } of readInstructions(readFileSync(file, 'utf8'))) {
    const stage = stages.at(-1);
    const text = fillIn(written, stage === undefined || keyword === 'FROM' ? globals : variables);
    if (keyword === 'FROM') {
      const [base = '', as, name] = text.split(/\s+/);
      if (as !== undefined && as.toUpperCase() !== 'AS') throw new Error(`not understood: FROM ${text}`);
      stages.push({ name: name ?? null, base, instructions: [] });
      variables = new Map();
    } else if (keyword === 'ARG') {
      const [name, value = globals.get(text)] = split(text);
      if (value === undefined) throw new Error(`ARG ${name} has no value`);
      (stage === undefined ? globals : variables).set(name, value);
    } else if (stage === undefined) {
      throw new Error(`${keyword} before the first FROM`);
    } else {
      stage.instructions.push({ keyword, text });
    }
  }
  return stages;
}

/** `NAME=value NAME="a value"`, as ENV and LABEL have them. */
export function pairsOf(stage: Stage, keyword: 'ENV' | 'LABEL'): Readonly<Record<string, string>> {
  const texts = stage.instructions.filter((instruction) => instruction.keyword === keyword).map(({ text }) => text);
  const pairs = texts.flatMap((text) => [...text.matchAll(/([\w.-]+)=(?:"([^"]*)"|(\S+))/g)]);
  return Object.fromEntries(pairs.map(([, name = '', quoted, bare = '']) => [name, quoted ?? bare]));
}

/** What the last instruction of a kind says, as later ones win. */
export function lastOf(stage: Stage, keyword: string): string {
  const last = stage.instructions.findLast((instruction) => instruction.keyword === keyword);
  if (last === undefined) throw new Error(`there is no ${keyword}`);
  return last.text;
}

function readInstructions(source: string): Instruction[] {
  const lines = source.split('\n').filter((line) => !/^\s*#/.test(line) && line.trim() !== '');
  const joined = lines.join('\n').replaceAll(/\\\n\s*/g, '');
  return joined.split('\n').map((line) => {
    const [, keyword = '', text = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
    if (keyword === '') throw new Error(`not understood: ${line}`);
    return { keyword, text };
  });
}

function fillIn(text: string, variables: ReadonlyMap<string, string>): string {
  return text.replaceAll(/\$\{(\w+)\}/g, (whole, name: string) => {
    const value = variables.get(name);
    if (value === undefined) throw new Error(`${whole} has no value here`);
    return value;
  });
}

function split(text: string): readonly [string, string?] {
  const at = text.indexOf('=');
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
