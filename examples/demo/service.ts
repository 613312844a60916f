import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { credentials, status } from '@grpc/grpc-js';
import { GetServerInfoRequest, JobServiceClient } from '../../gen/stint/v1/job_service.ts';
import { call, statusOf } from '../call.ts';
import { DemoProblem } from './arguments.ts';

/** A first start makes a database and its tables; that takes some seconds on a slow disk. */
const startLimitMs = 60_000;
/** Longer than the service takes to drain and to stop its database. */
const stopLimitMs = 20_000;

export interface DemoService {
  readonly startedHere: boolean;
  /** Stops the service if it was started here; one that ran before runs on. */
  stop(): Promise<void>;
}

/** The service at the address, started as `npm start` does if there is none. */
export async function reachService(address: string): Promise<DemoService> {
  if (await answers(address)) return { startedHere: false, stop: () => Promise.resolve() };
  const folder = mkdtempSync(join(tmpdir(), 'stint-demo-'));
  const logFile = join(folder, 'service.log');
  const log = openSync(logFile, 'a');
  // A process group of its own: Ctrl-C reaches the demo alone, which then stops the service in order.
  const child = spawn(process.execPath, ['--enable-source-maps', join(import.meta.dirname, '../../src/main.js')], {
    detached: true,
    stdio: ['ignore', log, log],
  });
  const stop = async () => {
    await stopProcess(child);
    rmSync(folder, { recursive: true, force: true });
  };
  const deadline = performance.now() + startLimitMs;
  while (!(await answers(address))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      const said = readFileSync(logFile, 'utf8').trim().split('\n').at(-1) ?? '';
      await stop();
      throw new DemoProblem(`the service did not start at ${address}: ${said}`);
    }
    await pause(100);
  }
  return { startedHere: true, stop };
}

/** Whether Stint answers; nothing at all is false, anything else there is a problem. */
async function answers(address: string): Promise<boolean> {
  const client = new JobServiceClient(address, credentials.createInsecure());
  try {
    await call(client.getServerInfo.bind(client), GetServerInfoRequest.create(), { deadlineMs: 1_000 });
    return true;
  } catch (error) {
    if (statusOf(error) === status.UNAVAILABLE) return false;
    throw new DemoProblem(`what answers at ${address} is not Stint (${String(error)}): set STINT_LISTEN to another HOST:PORT`);
  } finally {
    client.close();
  }
}

async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const killer = setTimeout(() => child.kill('SIGKILL'), stopLimitMs);
  await ended;
  clearTimeout(killer);
}
