import type { Repository, UpkeepRound } from '../ports/repository.ts';
import { UpkeepLoop } from './upkeep-loop.ts';

/** Partitions are made days ahead; looked after so often. */
const PARTITION_INTERVAL_MS = 3_600_000;

export interface UpkeepParts {
  readonly repository: Pick<Repository, 'promoteDue' | 'expireLeases' | 'ensurePartitions'>;
  readonly onRound: (round: UpkeepRound) => void;
  readonly onFailure: (what: string, error: unknown) => void;
}

/** What moves without anybody asking: due jobs become READY, lapsed leases end, partitions are made. */
export class Upkeep {
  readonly #parts: UpkeepParts;
  readonly #promote: UpkeepLoop;
  readonly #expire: UpkeepLoop;
  #partitions: NodeJS.Timeout | null = null;

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
    const loop = (name: string, round: () => Promise<UpkeepRound>) =>
      new UpkeepLoop({ round, onRound: parts.onRound, onFailure: (error) => parts.onFailure(name, error) });
    this.#promote = loop('promote due jobs', parts.repository.promoteDue);
    this.#expire = loop('expire leases', parts.repository.expireLeases);
  }

  /** Partitions first: nothing can be enqueued without them. */
  async start(): Promise<void> {
    const { repository, onFailure } = this.#parts;
    await repository.ensurePartitions();
    this.#partitions = setInterval(() => {
      repository.ensurePartitions().catch((error: unknown) => onFailure('make partitions', error));
    }, PARTITION_INTERVAL_MS);
    this.#promote.start();
    this.#expire.start();
  }

  /** A job is due in so many milliseconds. */
  dueIn(milliseconds: number): void {
    this.#promote.nudge(milliseconds);
  }

  /** One round of each, now. */
  async runNow(): Promise<{ readonly promoted: number; readonly expired: number }> {
    const promoted = await this.#parts.repository.promoteDue();
    this.#parts.onRound(promoted);
    const expired = await this.#parts.repository.expireLeases();
    this.#parts.onRound(expired);
    return { promoted: promoted.count, expired: expired.count };
  }

  async stop(): Promise<void> {
    if (this.#partitions !== null) clearInterval(this.#partitions);
    await Promise.all([this.#promote.stop(), this.#expire.stop()]);
  }
}
