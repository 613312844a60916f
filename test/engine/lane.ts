import { type CommitShape, GroupCommit } from '../../src/engine/group-commit.ts';
import { StoreError, type StoreErrorKind } from '../../src/engine/ports/store-error.ts';

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
  readonly group: GroupCommit<Item, string>;

  constructor(shape: CommitShape = {}) {
    this.group = new GroupCommit<Item, string>({
      ...shape,
      name: 'lane',
      bytesOf: ({ bytes }) => bytes,
      tenantOf: ({ tenant }) => tenant,
      commit: (items) => new Promise((resolve, reject) => this.#depart(items, resolve, reject)),
    });
  }

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

/** More than whatever here gathers for a turn, sends, and gathers again. */
const TURNS = 4;

/** Until every promise that can go on has gone on: nothing here waits for a timer or for the network. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

export const items = (count: number, told: { tenant?: string; bytes?: number } = {}) =>
  Array.from({ length: count }, (_, index) => item(`${told.tenant ?? ''}${index}`, told));

/** What became of it: its answer, the kind of its store error, or its error. */
export const outcome = (promise: Promise<unknown>) =>
  promise.then(
    (value) => value,
    (error: unknown) => (error instanceof StoreError ? error.kind : error),
  );

/** Fails whatever holds one of the named items, `times` times each; counts what it was asked for. */
export function failing(
  kind: StoreErrorKind,
  bad: readonly string[],
  { times = Number.POSITIVE_INFINITY, readsOnly = false }: { readonly times?: number; readonly readsOnly?: boolean } = {},
) {
  const left = new Map(bad.map((name) => [name, times]));
  const batches: string[][] = [];
  const group = new GroupCommit<Item, string>({
    name: 'lane',
    readsOnly,
    bytesOf: ({ bytes }) => bytes,
    tenantOf: ({ tenant }) => tenant,
    commit: async (sent) => {
      batches.push(sent.map(({ name }) => name));
      const hit = sent.filter(({ name }) => (left.get(name) ?? 0) > 0);
      for (const { name } of hit) left.set(name, (left.get(name) ?? 0) - 1);
      if (hit.length > 0) throw new StoreError(kind, 'no');
      return sent.map(({ name }) => name.toUpperCase());
    },
  });
  return { group, batches };
}
