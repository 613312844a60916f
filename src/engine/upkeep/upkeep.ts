import type { UpkeepCounts } from '../engine.ts';
import type { Repository } from '../ports/repository.ts';
import type { UpkeepDue, UpkeepRound } from '../ports/upkeep.ts';
import { LOOK_INTERVAL_MS, untilDueMs, UpkeepLoop } from './upkeep-loop.ts';

/** Partitions are made days ahead; looked after so often. */
const PARTITION_INTERVAL_MS = 3_600_000;

export interface UpkeepParts {
  readonly repository: Pick<Repository, 'nextDue' | 'promoteDue' | 'expireLeases' | 'timeOut' | 'ensurePartitions'>;
  /** The database answered a look for what is due. */
  readonly onLook: () => void;
  readonly onRound: (round: UpkeepRound) => void;
  readonly onFailure: (what: string, error: unknown) => void;
}

/**
 * What moves without anybody asking: due jobs become READY, leases end, jobs that wait time out, partitions are made. One cheap look
 * tells which of the rounds has something to do, and when.
 */
export class Upkeep {
  readonly #parts: UpkeepParts;
  readonly #look: UpkeepLoop<UpkeepDue & { readonly more: false; readonly nextDueAt: null }>;
  readonly #promote: UpkeepLoop<UpkeepRound>;
  readonly #expire: UpkeepLoop<UpkeepRound>;
  readonly #timeOut: UpkeepLoop<UpkeepRound>;
  #partitions: NodeJS.Timeout | null = null;

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
    const loop = (name: string, round: () => Promise<UpkeepRound>) =>
      new UpkeepLoop({
        ...{ round, onRound: parts.onRound, idleMs: Number.POSITIVE_INFINITY },
        onFailure: (error) => parts.onFailure(name, error),
      });
    this.#look = new UpkeepLoop({
      round: async () => ({ ...(await parts.repository.nextDue()), more: false, nextDueAt: null }),
      onRound: (due) => this.#onLook(due),
      onFailure: (error) => this.#onBlind(error),
      idleMs: LOOK_INTERVAL_MS,
    });
    this.#promote = loop('promote due jobs', parts.repository.promoteDue);
    this.#expire = loop('end leases', parts.repository.expireLeases);
    this.#timeOut = loop('time out waiting jobs', parts.repository.timeOut);
  }

  /** Partitions first: nothing can be enqueued without them. */
  async start(): Promise<void> {
    const { repository, onFailure } = this.#parts;
    await repository.ensurePartitions();
    this.#partitions = setInterval(() => {
      repository.ensurePartitions().catch((error: unknown) => onFailure('make partitions', error));
    }, PARTITION_INTERVAL_MS);
    for (const round of this.#rounds()) round.start(Number.POSITIVE_INFINITY);
    this.#look.start(0);
  }

  /** A job is due in so many milliseconds. */
  dueIn(milliseconds: number): void {
    this.#promote.nudge(milliseconds);
  }

  /** A lease ends in so many milliseconds. */
  leaseEndsIn(milliseconds: number): void {
    this.#expire.nudge(milliseconds);
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
    const { timedOut, cancelled, abandoned } = ended;
    return {
      promoted: promoted.count,
      expired: ended.count - timedOut - cancelled - abandoned,
      timedOut: timedOut + waiting.count,
      cancelled,
      abandoned,
    };
  }

  async stop(): Promise<void> {
    if (this.#partitions !== null) clearInterval(this.#partitions);
    await Promise.all([this.#look, ...this.#rounds()].map((loop) => loop.stop()));
  }

  #onLook({ promoteAt, leaseEndsAt, timeOutAt, databaseTime }: UpkeepDue): void {
    this.#parts.onLook();
    this.#promote.nudge(untilDueMs(promoteAt, databaseTime));
    this.#expire.nudge(untilDueMs(leaseEndsAt, databaseTime));
    this.#timeOut.nudge(untilDueMs(timeOutAt, databaseTime));
  }

  /** Who cannot see what is due tries each round: one task of many that fails must not keep the others. */
  #onBlind(error: unknown): void {
    this.#parts.onFailure('look for what is due', error);
    for (const round of this.#rounds()) round.nudge(0);
  }

  #rounds(): readonly UpkeepLoop<UpkeepRound>[] {
    return [this.#promote, this.#expire, this.#timeOut];
  }
}
