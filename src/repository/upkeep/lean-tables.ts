/**
 * Keeps statements fast while rows come and go: tells the planner of tables that have outgrown their plans, vacuums the hot ones when that
 * cleans something, and where it cannot, moves floors.
 */
import type { Queue } from '../../domain/queue.ts';
import type { Given } from '../../engine/ports/repository.ts';
import type { Database } from '../database.ts';
import { type Backlog, dropFloors, moveFloors } from './move-floors.ts';
import { analyzeOutgrown, type HotTable, lookAtTables, type TableLook, type TablesLook, vacuum } from './vacuum.ts';

/** Claims from a rank since its floor moved, that make it worth a move: a scan passes so many dead entries in half a millisecond. */
const CLAIMS_A_MOVE = 1_000;
/** Ranks with claims that are remembered; past them those with the fewest claims wait for others to be moved. */
const BACKLOGS = 10_000;
/** Floors that are moved in one round. */
const MOVES_A_ROUND = 256;
/** Dead rows that make a vacuum worth its scan: Postgres' own comes before, where it looks often enough. */
const DEAD_ROWS: Readonly<Record<HotTable, number>> = {
  ready: 10_000,
  lease: 10_000,
  session: 1_000,
  deferred: 10_000,
  parked: 10_000,
  gate: 1_000,
  slot: 1_000,
  floor: 1_000,
};
/** Of a large table, this share of its rows has to be dead too. */
const DEAD_SHARE = 0.05;
/** Rounds without a look, when nothing was claimed: others may have left something to clean. */
const QUIET_ROUNDS = 15;

export class LeanTables {
  readonly #upkeep: Database;
  readonly #vacuum: Database;
  /** Claims of this replica since the floor of the rank moved. */
  readonly #claims = new Map<string, { readonly backlog: Backlog; count: number }>();
  /** Where the horizon lay when a table was vacuumed last: before it moves, another one cleans nothing. */
  readonly #vacuumedAt = new Map<HotTable, string | null>();
  #horizon: string | null = null;
  #isActive = true;
  #quietRounds = 0;
  #maintaining: Promise<void> | null = null;
  #failure: Error | null = null;

  constructor({ upkeep, vacuum }: { readonly upkeep: Database; readonly vacuum: Database }) {
    this.#upkeep = upkeep;
    this.#vacuum = vacuum;
  }

  /** What was claimed leaves a dead entry each. */
  claimed(queues: readonly Queue[], given: Given): Given {
    // A claim names queues of one namespace.
    const ids = new Map(queues.map(({ id, name }) => [name, id]));
    for (const jobs of given.jobs) {
      for (const { job } of jobs) {
        const queueId = ids.get(job.queue);
        if (queueId !== undefined) this.#count(queueId, job.priority);
      }
    }
    return given;
  }

  /** Looks, and does what pays. An analysis or a vacuum goes on after it; how that failed is thrown by the next round. */
  async round(): Promise<void> {
    const failure = this.#failure;
    this.#failure = null;
    if (failure !== null) throw failure;
    if (!this.#isActive && this.#quietRounds++ < QUIET_ROUNDS) return;
    this.#quietRounds = 0;
    const look = await lookAtTables(this.#upkeep.run);
    const isHeld = look.horizon !== null && look.horizon === this.#horizon;
    this.#horizon = look.horizon;
    this.#isActive = look.hasFloors;
    if (isHeld) await this.#moveFloors();
    else await this.#clean(look);
    this.#maintain(() => analyzeOutgrown(this.#vacuum.run));
  }

  #count(queueId: number, priority: number): void {
    this.#isActive = true;
    const key = `${queueId}/${0 - priority}`;
    const found = this.#claims.get(key);
    if (found !== undefined) found.count += 1;
    else if (this.#claims.size < BACKLOGS) this.#claims.set(key, { backlog: { queueId, rank: -BigInt(priority) }, count: 1 });
  }

  async #moveFloors(): Promise<void> {
    const worth = [...this.#claims.values()].filter(({ count }) => count >= CLAIMS_A_MOVE).slice(0, MOVES_A_ROUND);
    if (worth.length === 0) return;
    this.#isActive = true;
    const sorted = worth.map(({ backlog }) => backlog).toSorted((a, b) => a.queueId - b.queueId || (a.rank < b.rank ? -1 : 1));
    for (const { queueId, rank } of await moveFloors(this.#upkeep, sorted)) this.#claims.delete(`${queueId}/${rank}`);
  }

  /** Floors stay until what lies dead below them is gone. */
  async #clean(look: TablesLook): Promise<void> {
    this.#claims.clear();
    const worth = look.tables.filter((table) => this.#pays(table, look.horizon)).map(({ table }) => table);
    if (worth.length > 0) this.#maintain(() => this.#vacuumEach(worth, look.horizon));
    else if (look.hasFloors && this.#maintaining === null) await dropFloors(this.#upkeep);
  }

  #pays({ table, dead, live, ours }: TableLook, horizon: string | null): boolean {
    return ours && dead >= DEAD_ROWS[table] + live * DEAD_SHARE && (horizon === null || horizon !== this.#vacuumedAt.get(table));
  }

  async #vacuumEach(tables: readonly HotTable[], horizon: string | null): Promise<void> {
    for (const table of tables) {
      this.#vacuumedAt.set(table, horizon);
      await vacuum(this.#vacuum.run, table);
    }
  }

  /** One at a time: what finds another under way is left to a later round. */
  #maintain(work: () => Promise<void>): void {
    this.#maintaining ??= work()
      .catch((error: unknown) => {
        this.#failure = error instanceof Error ? error : new Error('the upkeep of a table failed', { cause: error });
      })
      .finally(() => {
        this.#maintaining = null;
      });
  }
}
