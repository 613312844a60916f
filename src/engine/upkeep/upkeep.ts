import type { UpkeepCounts } from '../engine.ts';
import type { Rounds, UpkeepDue, UpkeepRound } from '../ports/upkeep.ts';
import { fairSweeper, SWEEP_INTERVAL_MS } from './fair-sweep.ts';
import { LOOK_INTERVAL_MS, type Round, untilDueMs, untimed, UpkeepLoop } from './upkeep-loop.ts';

/** Partitions are made days ahead; looked after so often. */
const PARTITION_INTERVAL_MS = 3_600_000;
/** What has ended is looked through so often: retention is at least a minute. */
const PRUNE_INTERVAL_MS = 60_000;
/** How the queues are doing is looked at so often, where somebody wants to know. */
const FIGURES_INTERVAL_MS = 5_000;

export interface UpkeepParts {
  readonly repository: Rounds;
  /** The database answered a look for what is due. */
  readonly onLook: () => void;
  readonly onRound: (round: UpkeepRound) => void;
  readonly onFailure: (what: string, error: unknown) => void;
  /** Looks at how the queues are doing, and tells it. Default: nobody wants to know. */
  readonly figures?: (() => Promise<void>) | undefined;
}

/**
 * What moves without anybody asking: due jobs become READY, leases end, jobs that wait time out, BLOCKED ones get their slots, the journal is
 * folded into the numbers of the queues, what is over is pruned, tables are kept lean, partitions are made. One cheap look tells which of the
 * rounds has something to do, and when.
 */
export class Upkeep {
  readonly #parts: UpkeepParts;
  readonly #look: UpkeepLoop<UpkeepDue & { readonly more: false; readonly nextDueAt: null }>;
  readonly #promote: UpkeepLoop<UpkeepRound>;
  readonly #expire: UpkeepLoop<UpkeepRound>;
  readonly #timeOut: UpkeepLoop<UpkeepRound>;
  readonly #unblock: UpkeepLoop<UpkeepRound>;
  readonly #fair: UpkeepLoop<Round>;
  readonly #prune: UpkeepLoop<UpkeepRound>;
  readonly #lean: UpkeepLoop<Round>;
  readonly #fold: UpkeepLoop<UpkeepRound>;
  readonly #figures: UpkeepLoop<Round> | null;
  #partitions: NodeJS.Timeout | null = null;

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
    const loop = (name: string, round: () => Promise<UpkeepRound>, onRound = (done: UpkeepRound) => this.#onRound(done)) =>
      new UpkeepLoop({
        ...{ round, onRound, idleMs: Number.POSITIVE_INFINITY },
        onFailure: (error) => parts.onFailure(name, error),
      });
    this.#look = new UpkeepLoop({
      round: async () => ({ ...(await parts.repository.nextDue()), more: false, nextDueAt: null }),
      onRound: (due) => this.#onLook(due),
      onFailure: (error) => this.#onBlind(error),
      idleMs: LOOK_INTERVAL_MS,
    });
    this.#lean = new UpkeepLoop({
      round: async () => {
        await parts.repository.keepLean();
        return untimed(false);
      },
      onRound: () => undefined,
      onFailure: (error) => parts.onFailure('keep tables lean', error),
      idleMs: LOOK_INTERVAL_MS,
    });
    this.#promote = loop('promote due jobs', parts.repository.promoteDue);
    this.#expire = loop('end leases', parts.repository.expireLeases);
    this.#timeOut = loop('time out waiting jobs', parts.repository.timeOut);
    this.#unblock = loop('unblock jobs', parts.repository.unblock);
    this.#fair = fairSweeper({ repository: parts.repository, onFailure: (error) => parts.onFailure('forget fairness keys', error) });
    this.#prune = new UpkeepLoop({
      ...{ round: parts.repository.pruneExpired, onRound: parts.onRound, idleMs: PRUNE_INTERVAL_MS },
      onFailure: (error) => parts.onFailure('prune', error),
    });
    this.#fold = loop('fold the journal', parts.repository.foldJournal, () => undefined);
    this.#figures = parts.figures === undefined ? null : figuresLoop(parts.figures, (error) => parts.onFailure('count the queues', error));
  }

  /** Partitions first: nothing can be enqueued without them. */
  async start(): Promise<void> {
    const { repository, onFailure } = this.#parts;
    await repository.ensurePartitions();
    this.#partitions = setInterval(() => {
      repository.ensurePartitions().catch((error: unknown) => onFailure('make partitions', error));
      repository.dropPartitions().catch((error: unknown) => onFailure('drop partitions', error));
    }, PARTITION_INTERVAL_MS);
    for (const round of this.#rounds()) round.start(Number.POSITIVE_INFINITY);
    this.#prune.start(Number.POSITIVE_INFINITY);
    this.#look.start(0);
    this.#fair.start(SWEEP_INTERVAL_MS);
    this.#lean.start(LOOK_INTERVAL_MS);
    this.#figures?.start(0);
  }

  /** A job is due in so many milliseconds. */
  dueIn(milliseconds: number): void {
    this.#promote.nudge(milliseconds);
  }

  /** A lease ends in so many milliseconds. */
  leaseEndsIn(milliseconds: number): void {
    this.#expire.nudge(milliseconds);
  }

  /** Concurrency keys were touched: BLOCKED jobs may have a slot. */
  unblockNow(): void {
    this.#unblock.nudge(0);
  }

  /** One round of each, now. */
  async runNow(): Promise<UpkeepCounts> {
    const { repository, onRound } = this.#parts;
    const promoted = await repository.promoteDue();
    onRound(promoted);
    const ended = await repository.expireLeases();
    onRound(ended);
    const waiting = await repository.timeOut();
    onRound(waiting);
    const unblocked = await repository.unblock();
    onRound(unblocked);
    const pruned = await repository.pruneExpired();
    onRound(pruned);
    await repository.dropPartitions();
    await repository.foldJournal();
    const { timedOut, cancelled, abandoned } = ended;
    return {
      promoted: promoted.count,
      expired: ended.count - timedOut - cancelled - abandoned,
      timedOut: timedOut + waiting.count,
      cancelled,
      abandoned,
      unblocked: unblocked.count,
      pruned: pruned.count,
    };
  }

  async stop(): Promise<void> {
    if (this.#partitions !== null) clearInterval(this.#partitions);
    await Promise.all([this.#look, this.#lean, this.#fair, this.#prune, ...this.#rounds()].map((loop) => loop.stop()));
    await this.#figures?.stop();
  }

  #onRound(round: UpkeepRound): void {
    this.#parts.onRound(round);
    if (round.touchesKeys) this.unblockNow();
  }

  #onLook({ promoteAt, leaseEndsAt, timeOutAt, unblockAt, foldAt, databaseTime }: UpkeepDue): void {
    this.#parts.onLook();
    this.#promote.nudge(untilDueMs(promoteAt, databaseTime));
    this.#expire.nudge(untilDueMs(leaseEndsAt, databaseTime));
    this.#timeOut.nudge(untilDueMs(timeOutAt, databaseTime));
    this.#unblock.nudge(untilDueMs(unblockAt, databaseTime));
    this.#fold.nudge(untilDueMs(foldAt, databaseTime));
  }

  /** Who cannot see what is due tries each round: one task of many that fails must not keep the others. */
  #onBlind(error: unknown): void {
    this.#parts.onFailure('look for what is due', error);
    for (const round of this.#rounds()) round.nudge(0);
  }

  #rounds(): readonly UpkeepLoop<UpkeepRound>[] {
    return [this.#promote, this.#expire, this.#timeOut, this.#unblock, this.#fold];
  }
}

function figuresLoop(look: () => Promise<void>, onFailure: (error: unknown) => void): UpkeepLoop<Round> {
  const round = async () => {
    await look();
    return untimed(false);
  };
  return new UpkeepLoop({ round, onRound: () => undefined, onFailure, idleMs: FIGURES_INTERVAL_MS });
}
