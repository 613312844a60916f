import { GroupCommit } from '../../src/engine/group-commit.ts';

export interface Item {
  readonly name: string;
  readonly tenant: string;
  readonly bytes: number;
}

export function item(name: string, { tenant = '', bytes = 0 }: { tenant?: string; bytes?: number } = {}): Item {
  return { name, tenant, bytes };
}

/** A commit that has been sent and waits for the test to answer it. */
export interface Flight {
  readonly names: readonly string[];
  land(): void;
  crash(error: unknown): void;
}

/** A group commit whose every commit the test answers by hand; each outcome is the item's name, in capitals. */
export class Lane {
  readonly #sent: Flight[] = [];
  readonly #waiting: ((flight: Flight) => void)[] = [];
  readonly group = new GroupCommit<Item, string>({
    name: 'lane',
    bytesOf: ({ bytes }) => bytes,
    tenantOf: ({ tenant }) => tenant,
    commit: (items) => new Promise((resolve, reject) => this.#depart(items, resolve, reject)),
  });

  #depart(items: readonly Item[], resolve: (outcomes: string[]) => void, reject: (error: unknown) => void): void {
    const names = items.map(({ name }) => name);
    const flight = { names, land: () => resolve(names.map((name) => name.toUpperCase())), crash: reject };
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#sent.push(flight);
    else waiting(flight);
  }

  /** The next commit, in the order they were sent. */
  flight(): Promise<Flight> {
    const sent = this.#sent.shift();
    return sent === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(sent);
  }

  /** Commits that were sent and not looked at. */
  get unseen(): number {
    return this.#sent.length;
  }
}

/** Until every promise that can go on has gone on: nothing here waits for a timer or for the network. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
