import { chmodSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isRoot, makeCluster, makeFolder, nobodyUid, query, start, startInChild } from './starter.ts';

const refusal = async (dataDir: string): Promise<unknown> =>
  await start(dataDir).then(
    () => 'started',
    (error: unknown) => error,
  );

describe('a data folder that cannot be used', () => {
  it('is refused when another major version of Postgres wrote it', async () => {
    const dataDir = await makeCluster();
    const first = await start(dataDir);
    await first.stop();
    writeFileSync(join(dataDir, 'postgres/PG_VERSION'), '15\n');
    expect(await refusal(dataDir)).toMatchObject({
      kind: 'other_version',
      message: expect.stringMatching(/Postgres 15.* 18.*STINT_DATA_DIR/),
    });
  });

  it.each([
    ['another version', '16\n', 'other_version'],
    ['this version', '18\n', 'folder_foreign'],
  ])('is refused when it is a Postgres data folder itself, of %s', async (_name, version, kind) => {
    const dataDir = makeFolder();
    writeFileSync(join(dataDir, 'PG_VERSION'), version);
    expect(await refusal(dataDir)).toMatchObject({ kind });
    expect(readdirSync(dataDir)).toEqual(['PG_VERSION']);
  });

  it('is refused when it holds something else, and is left as it was', async () => {
    const dataDir = makeFolder();
    writeFileSync(join(dataDir, 'thesis.txt'), 'years of work');
    expect(await refusal(dataDir)).toMatchObject({ kind: 'folder_foreign', message: expect.stringContaining('thesis.txt') });
    expect(readdirSync(dataDir)).toEqual(['thesis.txt']);
  });

  it('is refused when it is a file', async () => {
    const file = join(makeFolder(), 'file');
    writeFileSync(file, '');
    expect(await refusal(file)).toMatchObject({ kind: 'folder_unusable' });
    expect(await refusal(join(file, 'below'))).toMatchObject({ kind: 'folder_unusable' });
  });

  it('is refused when its password is lost', async () => {
    const dataDir = makeFolder();
    mkdirSync(join(dataDir, 'postgres'));
    writeFileSync(join(dataDir, 'postgres/PG_VERSION'), '18\n');
    expect(await refusal(dataDir)).toMatchObject({ kind: 'folder_foreign', message: expect.stringContaining('stint.password') });
  });

  it('is refused when it may not be read', async () => {
    const dataDir = join(makeFolder(), 'closed');
    mkdirSync(dataDir);
    chmodSync(dataDir, 0);
    // Root reads everything, so there it is tried as nobody.
    const { answer } = await startInChild(dataDir, { uid: isRoot ? String(nobodyUid) : '' });
    expect(answer).toMatchObject({ kind: 'folder_unusable', message: expect.stringMatching(/EACCES.*STINT_DATA_DIR/) });
  });

  it('is refused in one line', async () => {
    const dataDir = makeFolder();
    writeFileSync(join(dataDir, 'two\nlines'), '');
    expect(await refusal(dataDir)).toMatchObject({ message: expect.stringMatching(/^.*$/) });
  });
});

describe('a data folder that is in use', () => {
  it('is refused with the pid of the service that uses it, which goes on', async () => {
    const dataDir = await makeCluster();
    const { process: service, answer } = await startInChild(dataDir);
    expect(await refusal(dataDir)).toMatchObject({ kind: 'in_use', message: expect.stringContaining(`pid ${service.pid}`) });
    expect(await query(answer.url, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  it('serves one of two that start on it at the same moment', async () => {
    const dataDir = makeFolder();
    const [one, other] = await Promise.all([startInChild(dataDir), startInChild(dataDir)]);
    expect([one.answer.kind, other.answer.kind].toSorted()).toEqual(['in_use', 'started']);
    const { url } = one.answer.kind === 'started' ? one.answer : other.answer;
    expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  it('is refused when the server on it cannot be seen, as in another container', async ({ skip }) => {
    if (process.platform !== 'linux') skip('needs flock');
    const dataDir = await makeCluster();
    const first = await start(dataDir);
    await first.stop();
    const holder = spawn('flock', ['--no-fork', join(dataDir, 'postgres'), 'sh', '-c', 'echo held; exec sleep 60'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => holder.stdout.once('data', resolve));
    expect(await refusal(dataDir)).toMatchObject({ kind: 'in_use', message: expect.stringContaining('another container') });
    holder.kill('SIGKILL');
  });
});

describe('a start that was interrupted', () => {
  it('leaves nothing that a later start takes for a cluster', async () => {
    const dataDir = makeFolder();
    const draft = join(dataDir, 'initdb-abc123');
    mkdirSync(join(draft, 'cluster'), { recursive: true });
    writeFileSync(join(draft, 'cluster/PG_VERSION'), '18\n');
    utimesSync(draft, 0, 0);
    const { url } = await start(dataDir);
    expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }]);
    expect(readdirSync(dataDir)).toEqual(['postgres']);
  });

  it('does not touch the draft of a start that is under way', async () => {
    const dataDir = makeFolder();
    mkdirSync(join(dataDir, 'initdb-abc123'));
    writeFileSync(join(dataDir, 'initdb-abc123/note'), 'mine');
    await start(dataDir);
    expect(readFileSync(join(dataDir, 'initdb-abc123/note'), 'utf8')).toBe('mine');
  });
});
