import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** Longer than a worker's longest call. */
const stopLimitMs = 15_000;

/** Several worker processes, each with the loop of `examples/worker.ts`. */
export class Workers {
  readonly #processes = new Map<string, ChildProcess>();

  constructor(count: number, queue: string, address: string) {
    for (let number = 1; number <= count; number += 1) {
      const name = `${queue}-worker-${number}`;
      const child = fork(join(import.meta.dirname, '../worker.js'), [queue, name, address], {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      child.once('exit', () => this.#processes.delete(name));
      this.#processes.set(name, child);
    }
  }

  get names(): readonly string[] {
    return [...this.#processes.keys()];
  }

  /** Stands still, with all that it holds, until it is thawed or killed. */
  freeze(name: string): void {
    this.#processes.get(name)?.kill('SIGSTOP');
  }

  thaw(name: string): void {
    this.#processes.get(name)?.kill('SIGCONT');
  }

  /** As a machine that loses power would: nothing is given back. */
  async kill(name: string): Promise<void> {
    const child = this.#processes.get(name);
    if (child === undefined) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  async stop(): Promise<void> {
    await Promise.all(
      [...this.#processes.values()].map(async (child) => {
        const ended = once(child, 'exit');
        child.kill('SIGTERM');
        const killer = setTimeout(() => child.kill('SIGKILL'), stopLimitMs);
        await ended;
        clearTimeout(killer);
      }),
    );
  }
}
