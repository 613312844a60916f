import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { readyMessage, reply, type Request } from './messages.ts';
import { nodeFlags } from './node-flags.ts';
import type { SubscriberRequest } from './subscriber-messages.ts';

/** A service stops its calls and connections within seconds; past this time it is ended. */
const STOP_LIMIT_MS = 15_000;

/** `<file>.js` of this folder. */
export function ownProgram(file: string): string {
  return join(import.meta.dirname, `${file}.js`);
}

interface Asked {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** One of the bench's own processes, seen from the bench. */
export class BenchProcess {
  readonly name: string;
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #asked = new Map<number, Asked>();
  /** The address of a service; empty for the others. */
  address = '';
  #requests = 0;

  private constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.pid = child.pid ?? 0;
    this.#child = child;
  }

  /** Runs a program and waits until it can be asked. `node` is the Node that runs it, by default the bench's own. */
  static async start(
    name: string,
    program: string,
    { args = [], flags = [], node = process.execPath }: { args?: string[]; flags?: string[]; node?: string } = {},
  ): Promise<BenchProcess> {
    const child = fork(program, args, {
      execPath: node,
      execArgv: [...(program === ownProgram('service') ? nodeFlags() : ['--enable-source-maps']), ...flags],
      stdio: ['ignore', 2, 2, 'ipc'],
    });
    const started = new BenchProcess(name, child);
    await new Promise<void>((resolve, reject) => {
      child.on('message', (message) => {
        const ready = readyMessage.safeParse(message);
        if (!ready.success) return started.#onReply(message);
        started.address = ready.data.ready;
        resolve();
      });
      child.once('error', reject);
      child.once('exit', (code, signal) => {
        const gone = new Error(`the process "${name}" ended (${signal ?? code})`);
        for (const { reject: rejectAsked } of started.#asked.values()) rejectAsked(gone);
        reject(gone);
      });
    });
    return started;
  }

  ask(request: Request | SubscriberRequest): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = (this.#requests += 1);
      this.#asked.set(id, { resolve, reject });
      this.#child.send({ id, request }, (error) => (error === null ? undefined : reject(error)));
    });
  }

  #onReply(message: unknown): void {
    const { id, value, error } = reply.parse(message);
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    if (error === undefined) asked?.resolve(value);
    else asked?.reject(new Error(`${this.name}: ${error}`));
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.disconnect();
    const killer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_LIMIT_MS);
    await ended;
    clearTimeout(killer);
  }
}
