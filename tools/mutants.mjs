// Breaks the code on purpose, one promise at a time, and sees that the tests named for it notice: `npm run mutants [name…]`.
// A mutant is a patch in test/mutants/; the README there tells its form. Prints a line each, those that were not killed once more at the end, and
// last "N passed, N failed". With `--check` nothing is run: it tells whether each patch still applies.
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join, relative, sep } from 'node:path';
import { parseArgs } from 'node:util';

const root = join(import.meta.dirname, '..');
const mutantsFolder = join(root, 'test/mutants');

/** What a test may read; packages are linked. */
const copied = [
  'src',
  'gen',
  'test',
  'proto',
  'tools',
  'examples',
  'package.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'vitest.config.ts',
];

/** Longest one run of the named tests may take before it counts as hung: a run of all of them takes about half a minute. */
const runLimitMs = 180_000;
/** Runs at once: each starts a Postgres and a test process, and waits for them most of its time. */
const lanes = Math.min(2, availableParallelism());

/**
 * A mutant: what it breaks, the tests that must notice (`file > describe > title`), and its hunks, each a text that stands
 * once in its file and the text that takes its place. Line numbers are for the reader: they are not looked at.
 */
function parseMutant(name, text) {
  const start = text.search(/^--- a\//m);
  if (start < 0) throw new Error(`${name}: no "--- a/…" line`);
  const field = (title) => [...text.slice(0, start).matchAll(new RegExp(`^${title}: (.+)$`, 'gm'))].map((match) => match[1]);
  const mutant = { name, promise: field('Promise').join(', '), killers: field('Killed by').map(parseKiller), hunks: [] };
  let file = '';
  for (const line of text.slice(start).trimEnd().split('\n')) {
    const target = /^\+\+\+ b\/(.+)$/.exec(line);
    if (target !== null) file = target[1];
    else if (line.startsWith('@@')) mutant.hunks.push({ file, before: [], after: [] });
    else if (!line.startsWith('--- a/')) addLine(mutant, line);
  }
  if (mutant.promise === '' || mutant.killers.length === 0 || mutant.hunks.length === 0) {
    throw new Error(`${name}: needs a "Promise:", a "Killed by:" and a hunk`);
  }
  return mutant;
}

function addLine({ name, hunks }, line) {
  const hunk = hunks.at(-1);
  const text = line.slice(1);
  if (hunk === undefined || !/^[-+ ]|^$/.test(line)) throw new Error(`${name}: not a line of a hunk: ${line}`);
  if (!line.startsWith('+')) hunk.before.push(text);
  if (!line.startsWith('-')) hunk.after.push(text);
}

function parseKiller(told) {
  const [file, ...titles] = told.split(' > ');
  return { told, file, fullName: titles.join(' ') };
}

function readMutants(names) {
  const all = readdirSync(mutantsFolder)
    .filter((file) => file.endsWith('.patch'))
    .map((file) => basename(file, '.patch'))
    .toSorted();
  const unknown = names.filter((name) => !all.includes(name));
  if (unknown.length > 0) throw new Error(`no mutant is called ${unknown.join(', ')}; there are: ${all.join(', ')}`);
  const chosen = names.length > 0 ? names : all;
  return chosen.map((name) => parseMutant(name, readFileSync(join(mutantsFolder, `${name}.patch`), 'utf8')));
}

/** Throws where the code has moved on: a mutant that does not apply proves nothing. */
function apply({ hunks }, folder, write = writeFileSync) {
  for (const { file, before, after } of hunks) {
    const path = join(folder, file);
    const [old, fresh] = [`\n${before.join('\n')}\n`, `\n${after.join('\n')}\n`];
    const parts = `\n${readFileSync(path, 'utf8')}`.split(old);
    if (parts.length !== 2) throw new Error(`does not apply: ${parts.length - 1} places in ${file} read\n${before.join('\n')}`);
    write(path, parts.join(fresh).slice(1));
  }
}

/** Null where the patch applies. */
function misfit(mutant) {
  try {
    apply(mutant, root, () => {});
    return null;
  } catch (error) {
    return { verdict: 'INVALID', lines: error.message.split('\n') };
  }
}

/** Runs `work` in a copy of the tree that it may break, and takes the copy away again. */
async function inCopy(work) {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'stint-mutant-')));
  try {
    for (const name of copied) {
      cpSync(join(root, name), join(folder, name), { recursive: true, filter: (path) => basename(path) !== 'node_modules' });
    }
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs these tests and no others; tells of each test that ran what became of it, by `file > full name`. */
async function runTests(folder, killers) {
  const report = join(folder, 'report.json');
  const files = [...new Set(killers.map(({ file }) => file))];
  const pattern = killers.map(({ fullName }) => `^${fullName.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`).join('|');
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const output = await runNode([vitest, 'run', '--no-cache', '--testNamePattern', pattern, ...files], folder, { TEST_REPORT_FILE: report });
  if (!existsSync(report)) throw new Error(`the tests did not run:\n${output}`);
  const { testResults } = JSON.parse(readFileSync(report, 'utf8'));
  const results = new Map();
  for (const { name, message, assertionResults } of testResults) {
    const file = relative(folder, name).split(sep).join('/');
    for (const test of assertionResults) results.set(`${file} > ${test.fullName}`, test);
    results.set(file, message);
  }
  return results;
}

function runNode(args, cwd, env) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: runLimitMs,
    });
    const chunks = [];
    child.stdout.on('data', (chunk) => chunks.push(chunk));
    child.stderr.on('data', (chunk) => chunks.push(chunk));
    child.once('error', reject);
    child.once('close', () => resolve(Buffer.concat(chunks).toString('utf8')));
  });
}

/** How the runner's messages begin where an `expect` was not met; behind `resolves` and `rejects` their errors have another name. */
const unmet = /^(AssertionError: |Error: (expected |promise (resolved|rejected) "))/;

/** What a test came to: `passed`, `refuted` (an expectation was not met), or in words what else happened to it. */
function endOf(results, { file, fullName }) {
  const test = results.get(`${file} > ${fullName}`);
  if (test === undefined) return `was not run: ${results.get(file) || 'no test of that name'}`;
  if (test.status !== 'failed') return test.status;
  const strange = test.failureMessages.find((message) => !unmet.test(message));
  if (strange === undefined) return 'refuted';
  // All that the runner tells of a time limit.
  if (strange.startsWith('Error: STACK_TRACE_ERROR')) return 'ran out of time';
  return `failed, but not in an expectation: ${strange.split('\n')[0]}`;
}

/** `killed` by every test it names; `SURVIVED` where one of them passed; else `INVALID`: it proves nothing, and `lines` say why. */
async function judge(mutant, clean) {
  const unlike = (results, wanted) =>
    mutant.killers.map((killer) => ({ killer, end: endOf(results, killer) })).filter(({ end }) => end !== wanted);
  const told = (ends) => ends.map(({ killer, end }) => `${killer.told}: ${end}`);
  const unfit = unlike(clean, 'passed');
  if (unfit.length > 0) return { verdict: 'INVALID', lines: ['on the unchanged code:', ...told(unfit)] };
  try {
    const results = await inCopy((folder) => {
      apply(mutant, folder);
      return runTests(folder, mutant.killers);
    });
    const blind = unlike(results, 'refuted');
    if (blind.length === 0) return { verdict: 'killed', lines: mutant.killers.map(({ told }) => `by ${told}`) };
    return { verdict: blind.some(({ end }) => end === 'passed') ? 'SURVIVED' : 'INVALID', lines: told(blind) };
  } catch (error) {
    return { verdict: 'INVALID', lines: error.message.split('\n') };
  }
}

function print({ name, promise }, { verdict, lines }) {
  const head = `${verdict.padEnd(8)} ${promise.padEnd(11)} ${name.padEnd(29)} `;
  console.log(lines.map((line, index) => (index === 0 ? head : ' '.repeat(head.length)) + line).join('\n'));
}

function checkThatAllApply(mutants) {
  const unfit = mutants.map((mutant) => ({ mutant, judged: misfit(mutant) })).filter(({ judged }) => judged !== null);
  for (const { mutant, judged } of unfit) print(mutant, judged);
  return unfit.length;
}

async function runAll(mutants) {
  const killers = mutants.flatMap((mutant) => mutant.killers);
  const clean = await inCopy((folder) => runTests(folder, killers));
  const waiting = [...mutants];
  const alive = [];
  const lane = async () => {
    for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
      const judged = await judge(mutant, clean);
      if (judged.verdict !== 'killed') alive.push({ mutant, judged });
      print(mutant, judged);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  if (alive.length > 0) console.log('\nNot killed:');
  for (const { mutant, judged } of alive) print(mutant, judged);
  return alive.length;
}

async function main() {
  const { values, positionals } = parseArgs({ options: { check: { type: 'boolean', default: false } }, allowPositionals: true });
  const mutants = readMutants(positionals);
  const failed = values.check ? checkThatAllApply(mutants) : await runAll(mutants);
  console.log(`${mutants.length - failed} passed, ${failed} failed`);
  return failed === 0;
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  console.error(`mutants: ${error.message}`);
  console.log('0 passed, 1 failed');
  process.exitCode = 2;
}
