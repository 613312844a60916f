import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startEmbeddedPostgres } from '../../src/embedded/embedded-postgres.ts';
import { isGone, isRoot, makeCluster, makeFolder, query, start, startInChild, until } from './starter.ts';

describe('the embedded Postgres', () => {
  it('keeps its data over a stop and a start', async () => {
    const dataDir = join(makeFolder(), 'data');
    const first = await start(dataDir);
    await query(first.url, 'create table kept as select 42 as answer');
    await first.stop();
    expect(isGone(first.pid)).toBe(true);

    const second = await start(dataDir);
    expect(await query(second.url, 'select answer from kept')).toEqual([{ answer: 42 }]);
  });

  it('listens on the loopback only and on no Unix socket', async () => {
    const { url } = await start(await makeCluster());
    const [row] = await query(url, `select current_setting('listen_addresses') as tcp, current_setting('unix_socket_directories') as unix`);
    expect(row).toEqual({ tcp: '127.0.0.1', unix: '' });
  });

  it('lets nobody in without the password, which only its owner can read', async () => {
    const dataDir = makeFolder();
    const { url } = await start(dataDir);
    const guessed = new URL(url);
    guessed.password = 'guess';
    await expect(query(guessed.href, 'select 1')).rejects.toMatchObject({ code: '28P01' });
    expect(statSync(join(dataDir, 'postgres/stint.password')).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(dataDir, 'postgres/pg_hba.conf'), 'utf8')).not.toMatch(/^\w.*\btrust$/m);
  });

  it('sorts and classifies text in C.UTF-8 by the built-in provider', async () => {
    const { url } = await start(makeFolder());
    const [row] = await query(
      url,
      `select datlocprovider::text as provider, datlocale as locale, pg_encoding_to_char(encoding) as encoding
                                    from pg_database where datname = current_database()`,
    );
    expect(row).toEqual({ provider: 'b', locale: 'C.UTF-8', encoding: 'UTF8' });
  });

  it('keeps durability on unless told otherwise, and takes the settings of its caller last', async () => {
    const server = await startEmbeddedPostgres({ dataDir: await makeCluster(), log: () => undefined, settings: { max_connections: '17' } });
    try {
      const rows = await query(server.url, `select name, setting from pg_settings order by name`);
      const settings = Object.fromEntries(rows.map(({ name, setting }) => [name, setting]));
      expect(settings).toMatchObject({ fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on' });
      expect(settings).toMatchObject({ TimeZone: 'UTC', jit: 'off', max_connections: '17' });
    } finally {
      await server.stop();
    }
  });

  it('writes no value that a client sent to its log', async () => {
    const lines: string[] = [];
    const server = await startEmbeddedPostgres({ dataDir: await makeCluster(), durable: 'off', log: (line) => lines.push(line) });
    await query(server.url, `create table t (id text primary key)`);
    await query(server.url, `insert into t values ('sesame')`);
    await expect(query(server.url, `insert into t values ('sesame')`)).rejects.toMatchObject({ code: '23505' });
    await server.stop();
    expect(lines.join('\n')).toContain('duplicate key');
    expect(lines.join('\n')).not.toContain('sesame');
  });

  it('stops when its parent is killed, and its folder can be started on again at once', async () => {
    const dataDir = await makeCluster();
    const { process: parent, answer } = await startInChild(dataDir, { durability: 'durable' });
    expect(answer.kind).toBe('started');
    await query(answer.url, 'create table kept as select 42 as answer');
    parent.kill('SIGKILL');

    const next = await start(dataDir);
    expect(await query(next.url, 'select answer from kept')).toEqual([{ answer: 42 }]);
    expect(isGone(answer.pid)).toBe(true);
  });

  it('stops an orphan that nothing holds on a leash', async () => {
    const dataDir = await makeCluster();
    const { process: parent, answer } = await startInChild(dataDir);
    const supervisor = Number(/PPid:\s+(\d+)/.exec(readStatus(answer.pid))?.[1]);
    for (const pid of [...childrenOf(supervisor).filter((pid) => pid !== answer.pid), supervisor]) process.kill(pid, 'SIGKILL');
    parent.kill('SIGKILL');
    await until('the parent is gone', () => isGone(parent.pid ?? 0));
    expect(isGone(answer.pid)).toBe(false);

    await start(dataDir);
    expect(isGone(answer.pid)).toBe(true);
  });

  it('recovers when everything is killed at once', async () => {
    const dataDir = await makeCluster();
    const { process: parent, answer } = await startInChild(dataDir, { durability: 'durable' });
    await query(answer.url, 'create table kept as select 42 as answer');
    process.kill(answer.pid, 'SIGKILL');
    parent.kill('SIGKILL');

    const next = await start(dataDir);
    expect(await query(next.url, 'select answer from kept')).toEqual([{ answer: 42 }]);
  });

  it('is not misled by a left-over pid file whose pid belongs to another process', async () => {
    const dataDir = await makeCluster();
    const first = await start(dataDir);
    const file = join(dataDir, 'postgres/postmaster.pid');
    const leftOver = readFileSync(file, 'utf8');
    await first.stop();
    // A process of the very user that Postgres runs as: any other one Postgres itself sees through.
    const stranger = await start(await makeCluster());
    writeFileSync(file, leftOver.replace(/^\d+/, String(stranger.pid)));

    const second = await start(dataDir);
    expect(await query(second.url, 'select 1 as one')).toEqual([{ one: 1 }]);
    expect(isGone(stranger.pid)).toBe(false);
  });

  it('tells its owner when it dies by itself', async () => {
    const server = await start(await makeCluster());
    process.kill(server.pid, 'SIGKILL');
    await server.exited;
    await server.stop();
  });

  it('says so when the wanted port is taken', async () => {
    const squatter = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => squatter.once('listening', resolve));
    const address = squatter.address();
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
    await expect(start(await makeCluster(), { port })).rejects.toMatchObject({ kind: 'port_taken' });
    squatter.close();
  });

  it('leaves no draft behind', async () => {
    const dataDir = makeFolder();
    await start(dataDir);
    expect(readdirSync(dataDir)).toEqual(['postgres']);
  });

  it('gives a cluster of another user back to that user when root starts it', async ({ skip }) => {
    if (!isRoot) skip('only root can start as somebody else');
    const dataDir = await makeCluster();
    const first = await start(dataDir);
    await first.stop();
    const owner = statSync(join(dataDir, 'postgres')).uid;
    expect(owner).not.toBe(0);
    await start(dataDir);
    expect(statSync(join(dataDir, 'postgres')).uid).toBe(owner);
  });
});

function readStatus(pid: number): string {
  return readFileSync(`/proc/${pid}/status`, 'utf8');
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
}
