import { type ChildProcess, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { nodeFlags } from '../../bench/node-flags.ts';

/** Objects of the service that are reachable, by kind. */
export interface Objects {
  /** HTTP/2 streams of the server: one for each call that is not over. */
  readonly streams: number;
  readonly signals: number;
  /** Every group of parked claims, every watch of a job and every signal of the feed has one. */
  readonly sets: number;
}

/** What a process holds, after a garbage collection. */
export interface Level {
  /** JavaScript objects. */
  readonly heapBytes: number;
  /** Buffers, and what Node's own C++ objects hold. */
  readonly externalBytes: number;
  readonly rssBytes: number;
  /** What keeps the process running, by kind, as `process.getActiveResourcesInfo` tells: `TCPSocketWrap`, `Timeout` … */
  readonly handles: Readonly<Record<string, number>>;
}

/** What a parent asks its measured child; each is answered by one message. */
export type Question = 'level' | 'objects' | 'stop';

/** What the child answers; the first message tells where it serves. */
export type Answer = { readonly address: string } | { readonly level: Level } | { readonly objects: Objects } | { readonly stopped: true };

/** The real service in a process of its own, which tells what it holds. */
export interface MeasuredService {
  readonly address: string;
  readonly pid: number;
  measure(): Promise<Level>;
  /** Stops the service for seconds: each kind is counted by a walk over the whole heap. */
  countObjects(): Promise<Objects>;
  stop(): Promise<void>;
}

const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const script = join(import.meta.dirname, '../leaks/measured-service-in-child.ts');

/** Serves the database on a free port of the loopback. Throws when the process ends without having served. */
export async function startMeasuredService(databaseUrl: string): Promise<MeasuredService> {
  const child = spawn(process.execPath, ['--expose-gc', ...nodeFlags(), '--no-warnings', '--import', tsx, script, databaseUrl], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const answers = new Answers(child);
  const first = await answers.next();
  if (!('address' in first) || child.pid === undefined) unexpected();
  return {
    address: first.address,
    pid: child.pid,
    measure: async () => {
      const answer = await answers.to('level');
      return 'level' in answer ? answer.level : unexpected();
    },
    countObjects: async () => {
      const answer = await answers.to('objects');
      return 'objects' in answer ? answer.objects : unexpected();
    },
    stop: async () => {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      await answers.to('stop');
      await gone;
    },
  };
}

function unexpected(): never {
  throw new Error('the measured service answered another question');
}

/** The messages of a child, one for each question in turn. */
class Answers {
  readonly #child: ChildProcess;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(child: ChildProcess) {
    this.#child = child;
  }

  to(question: Question): Promise<Answer> {
    const answer = this.#turn.then(() => {
      this.#child.send(question);
      return this.next();
    });
    this.#turn = answer.catch(() => undefined);
    return answer;
  }

  next(): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const onExit = () => reject(new Error('the measured service ended'));
      this.#child.once('exit', onExit);
      this.#child.once('message', (message) => {
        this.#child.off('exit', onExit);
        resolve(message as Answer);
      });
    });
  }
}
