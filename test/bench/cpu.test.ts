import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { expect, it, onTestFinished } from 'vitest';
import { cpuSecondsOf } from '../../bench/cpu.ts';

/** Runs until it has used so much CPU itself, or by a child that has ended, and says so. */
const burn = 'const until = process.cpuUsage().user + 300_000; while (process.cpuUsage().user < until);';
const burner = `${burn} console.log('done'); setInterval(() => {}, 1000);`;
const parentOfBurner = `
  require('node:child_process').spawnSync(process.execPath, ['-e', ${JSON.stringify(burn)}]);
  console.log('done');
  setInterval(() => {}, 1000);`;

it.runIf(existsSync('/proc/self/stat')).each([
  ['of a process', burner],
  ['of a child that has ended', parentOfBurner],
])('counts the CPU %s', async (_name, program) => {
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  expect(cpuSecondsOf(child.pid ?? 0)).toBeGreaterThanOrEqual(0.29);
  expect(cpuSecondsOf(process.pid)).toBeGreaterThanOrEqual(cpuSecondsOf(child.pid ?? 0));
});

it('knows nothing of a process that is not there', () => {
  expect(cpuSecondsOf(2 ** 30)).toBeNaN();
});
