import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startEmbeddedPostgres } from '../../src/embedded/embedded-postgres.ts';
import { makeCluster, makeFolder } from '../embedded/starter.ts';
import { startProcess } from './service-process.ts';

const readPid = (dataDir: string): number => Number(readFileSync(join(dataDir, 'postgres/postmaster.pid'), 'utf8').split('\n')[0]);

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** A port that somebody else listens on. */
async function takePort(): Promise<string> {
  const server = createServer((socket) => socket.end());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const address = server.address();
  return `127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
}

describe('the process', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('serves until %s, then stops its Postgres and exits with 0', async (signal) => {
    const dataDir = join(makeFolder(), 'data');
    const { child, serving, ended } = startProcess({ STINT_DATA_DIR: dataDir });
    const addresses = await serving;
    expect((await fetch(`http://${addresses?.admin}/livez`)).status).toBe(200);
    expect((await fetch(`http://${addresses?.admin}/readyz`)).status).toBe(200);
    const postgres = readPid(dataDir);
    child.kill(signal);
    expect(await ended).toMatchObject({ code: 0, refusals: [] });
    expect(lives(postgres)).toBe(false);
  });

  it('exits with 1 when its Postgres dies', async () => {
    const dataDir = await makeCluster();
    const { serving, ended } = startProcess({ STINT_DATA_DIR: dataDir });
    await serving;
    process.kill(readPid(dataDir), 'SIGKILL');
    expect(await ended).toMatchObject({ code: 1 });
  });

  it('takes two signals at once for one press, and a later one for insisting', async () => {
    const dataDir = await makeCluster();
    const { child, serving, ended } = startProcess({ STINT_DATA_DIR: dataDir });
    await serving;
    const postgres = readPid(dataDir);
    // A database that hangs holds up an orderly stop for longer than this test lasts.
    process.kill(postgres, 'SIGSTOP');
    onTestFinished(async () => {
      process.kill(postgres, 'SIGCONT');
      while (lives(postgres)) await delay(10);
    });
    const firstMs = performance.now();
    const press = setInterval(() => {
      child.kill('SIGINT');
      child.kill('SIGINT');
    }, 50);
    const outcome = await ended.finally(() => clearInterval(press));
    expect(performance.now() - firstMs).toBeGreaterThanOrEqual(1_000);
    expect(outcome).toMatchObject({ code: 1, log: expect.stringContaining('told twice') });
  });
});

describe('the process refuses in one line and exits with 1', () => {
  const refusalOf = async (environment: Record<string, string>): Promise<string> => {
    const { serving, ended } = startProcess({ STINT_DATA_DIR: await makeCluster(), ...environment });
    expect(await serving).toBeNull();
    const { code, refusals, log } = await ended;
    expect(code).toBe(1);
    expect(log.trim().split('\n')).toEqual(refusals);
    expect(refusals).toHaveLength(1);
    return refusals[0] ?? '';
  };

  it('an unknown setting', async () => {
    expect(await refusalOf({ STINT_LISTN: '1' })).toContain('did you mean STINT_LISTEN');
  });

  it('a taken port', async () => {
    const taken = await takePort();
    expect(await refusalOf({ STINT_LISTEN: taken })).toContain(`STINT_LISTEN: ${taken} is taken`);
  });

  it('a taken port for probes', async () => {
    const taken = await takePort();
    expect(await refusalOf({ STINT_ADMIN_LISTEN: taken })).toContain(`STINT_ADMIN_LISTEN: ${taken} is taken`);
  });

  it('a data folder that is something else', async () => {
    expect(await refusalOf({ STINT_DATA_DIR: 'src' })).toContain('is not empty');
  });

  it('a data folder that another service uses', async () => {
    const dataDir = await makeCluster();
    const first = startProcess({ STINT_DATA_DIR: dataDir });
    await first.serving;
    expect(await refusalOf({ STINT_DATA_DIR: dataDir })).toContain(`pid ${first.child.pid}`);
  });

  it('a database that is not there, has another password, or another name', async () => {
    const postgres = await startEmbeddedPostgres({ dataDir: await makeCluster(), durable: 'off', log: () => undefined });
    onTestFinished(async () => await postgres.stop());
    const change = (part: 'port' | 'password' | 'pathname', value: string): Record<string, string> => {
      const url = new URL(postgres.url);
      url[part] = value;
      return { DATABASE_URL: url.href };
    };
    expect(await refusalOf(change('port', '1'))).toContain('nothing listens at 127.0.0.1:1');
    expect(await refusalOf(change('port', new URL(`http://${await takePort()}`).port))).toContain('is not a Postgres');
    expect(await refusalOf(change('password', 'hunter2'))).toMatch(/^(?!.*hunter2).*the password of user "postgres" is wrong/);
    expect(await refusalOf(change('pathname', '/nowhere'))).toContain('there is no database "nowhere"');
  });
});
