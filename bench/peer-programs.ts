/** What is needed to run the peers, brought here when they are wanted; none of it is a dependency of the service. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { ownProgram } from './bench-process.ts';
import type { Peer } from './cells.ts';

/** A program that brings the load of a peer, the Node that it needs, and how many processes of it do best here. */
export interface PeerProgram {
  readonly program: string;
  readonly node: string;
  readonly processes: number;
}

/** What a peer is, for who reads the figures. */
export interface PeerFacts {
  readonly version: string;
  readonly node: string;
  readonly settings: unknown;
}

/** The newest that a peer asks for: graphile-worker 0.18. */
const OLDEST_NODE = { major: 22, minor: 18 };

const projectRoot = join(import.meta.dirname, '../..');
const folder = join(projectRoot, 'bench/peers');

const manifest = z.object({ dependencies: z.record(z.string(), z.string()), optionalDependencies: z.record(z.string(), z.string()) });
const peerSettings = z.record(z.string(), z.looseObject({ processes: z.int() }));
const ownManifest = z.object({ dependencies: z.object({ postgres: z.string() }) });

function readJson(...path: readonly string[]): unknown {
  return JSON.parse(readFileSync(join(...path), 'utf8'));
}

/** Null: all of it is there. Else what is missing. */
export function installPeers(): string | null {
  const { status } = spawnSync(process.execPath, [join(projectRoot, 'tools/install.mjs'), '--peers'], { stdio: ['ignore', 2, 2] });
  if (status !== 0) return 'their packages could not be installed';
  return nodeForPeers() === null ? `they need Node ${OLDEST_NODE.major}.${OLDEST_NODE.minor} or newer` : null;
}

/** Only what is there is asked for: call `installPeers` first. */
export function programOf(peer: Peer): PeerProgram {
  const { processes } = settingsOf(peer);
  if (peer === 'skip-locked') return { program: ownProgram('skip-locked'), node: process.execPath, processes };
  return { program: join(folder, `${peer}.mjs`), node: nodeForPeers() ?? process.execPath, processes };
}

export function factsOf(peer: Peer): PeerFacts {
  const settings = settingsOf(peer);
  if (peer === 'skip-locked') {
    const { dependencies } = ownManifest.parse(readJson(projectRoot, 'package.json'));
    return { version: `postgres.js ${dependencies.postgres}`, node: process.version, settings };
  }
  const { dependencies, optionalDependencies } = manifest.parse(readJson(folder, 'package.json'));
  const name = peer === 'graphile' ? 'graphile-worker' : peer;
  const node = nodeForPeers() === process.execPath ? process.version : `v${optionalDependencies[broughtNode] ?? ''}`;
  return { version: `${name} ${dependencies[name] ?? ''}`, node, settings };
}

function settingsOf(peer: Peer): z.infer<typeof peerSettings>[string] {
  const settings = peerSettings.parse(readJson(folder, 'settings.json'))[peer];
  if (settings === undefined) throw new Error(`bench/peers/settings.json knows no "${peer}"`);
  return settings;
}

const broughtNode = `node-${process.platform}-${process.arch}`;

/** The Node that runs the bench where it is new enough, so that all sides run on the same; else the one that came with the peers. */
function nodeForPeers(): string | null {
  if (isNewEnough(process.versions.node)) return process.execPath;
  const brought = join(folder, 'node_modules', broughtNode, 'bin/node');
  return existsSync(brought) ? brought : null;
}

/** `version` as in `22.18.0`. */
export function isNewEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > OLDEST_NODE.major || (major === OLDEST_NODE.major && minor >= OLDEST_NODE.minor);
}
