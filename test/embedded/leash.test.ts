import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { makeFolder, until } from './starter.ts';

const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

/** Writes down each signal that it gets. SIGINT does not move it, as it does not move a Postgres that hangs on its way out. */
const standIn = `#!${process.execPath}
const { appendFileSync } = require('node:fs');
const told = __dirname + '/told';
process.on('SIGINT', () => appendFileSync(told, 'INT '));
process.on('SIGQUIT', () => { appendFileSync(told, 'QUIT '); process.exit(0); });
setInterval(() => undefined, 1000);
appendFileSync(told, 'up ');
`;

interface Orphan {
  readonly pid: number;
  /** What has been written down. */
  told(): string;
  /** The command lines of what lives of its supervisor's session, itself included. */
  kin(): string[];
}

/** A stand-in whose parent has just been killed. */
async function orphan(limitSeconds: number): Promise<Orphan> {
  const folder = makeFolder();
  mkdirSync(join(folder, 'bin'));
  writeFileSync(join(folder, 'bin/postgres'), standIn);
  chmodSync(join(folder, 'bin/postgres'), 0o755);
  const script = join(import.meta.dirname, 'supervise-in-child.ts');
  const parent = spawn(process.execPath, ['--import', tsx, script, folder, String(limitSeconds)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const pid = await firstNumber(parent.stdout);
  const session = sessionOf(pid);
  onTestFinished(() => membersOf(session).forEach((member) => process.kill(member, 'SIGKILL')));
  const log = join(folder, 'bin/told');
  const told = () => (existsSync(log) ? readFileSync(log, 'utf8') : '');
  await until('the stand-in is up', () => told() === 'up ');
  parent.kill('SIGKILL');
  return { pid, told, kin: () => membersOf(session).map(commandOf) };
}

describe('the leash of a server whose parent was killed', () => {
  it('cuts the shutdown short when it takes too long', async () => {
    const { told, kin } = await orphan(1);
    await until('nothing is left', () => kin().length === 0);
    expect(told()).toBe('up INT QUIT ');
  });

  it('leaves nothing behind when the server goes by itself', async () => {
    const { pid, told, kin } = await orphan(600);
    await until('the leash waits', () => kin().includes('sleep 600'));
    await until('the stand-in is told', () => told() === 'up INT ');
    process.kill(pid, 'SIGKILL');
    await until('nothing is left', () => kin().length === 0);
  });
});

async function firstNumber(output: NodeJS.ReadableStream): Promise<number> {
  for await (const line of createInterface(output)) return Number(line);
  throw new Error('the child ended without a word');
}

/** Fields of /proc/PID/stat behind the name, which may hold anything: state, parent, group, session. Null for one that is gone. */
function statOf(pid: number): string[] | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}

function sessionOf(pid: number): number {
  return Number(statOf(pid)?.[3]);
}

function membersOf(session: number): number[] {
  const pids = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  return pids.filter((pid) => sessionOf(pid) === session && statOf(pid)?.[0] !== 'Z');
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ').trim();
  } catch {
    return '';
  }
}
