import { randomBytes } from 'node:crypto';
import { parseJobId, type JobId, type Micros } from '../../domain/job.ts';

/** Random bytes drawn at once: one system call serves many ids. */
const POOL_BYTES = 8 * 1024;
const RANDOM_BYTES_PER_ID = 8;
const COUNTER_MASK = 0xfff;

/**
 * Mints UUIDv7 ids (RFC 9562, method 1: a counter in rand_a) by the database's time, as last heard: partitions follow
 * that clock, not ours.
 */
export class JobIdMint {
  #offsetMs = 0;
  #lastMs = 0;
  #counter = 0;
  #pool = Buffer.alloc(0);

  /** Told with each round of upkeep. */
  setDatabaseTime(at: Micros): void {
    this.#offsetMs = at / 1_000 - Date.now();
  }

  /** The database's time as estimated from what was last heard, in milliseconds. */
  databaseTimeMs(): number {
    return Math.floor(Date.now() + this.#offsetMs);
  }

  mint(): JobId {
    const time = Math.max(this.databaseTimeMs(), this.#lastMs);
    this.#counter = (this.#counter + 1) & COUNTER_MASK;
    this.#lastMs = this.#counter === 0 && time === this.#lastMs ? time + 1 : time;
    const at = this.#lastMs.toString(16).padStart(12, '0');
    const random = this.#random();
    const variant = (8 + (Number.parseInt(random.charAt(0), 16) & 3)).toString(16);
    const id = `${at.slice(0, 8)}-${at.slice(8)}-7${this.#counter.toString(16).padStart(3, '0')}-${variant}${random.slice(1, 4)}-${random.slice(4)}`;
    const jobId = parseJobId(id);
    if (jobId === null) throw new Error(`minted no job id: ${id}`);
    return jobId;
  }

  #random(): string {
    if (this.#pool.length < RANDOM_BYTES_PER_ID) this.#pool = randomBytes(POOL_BYTES);
    const hex = this.#pool.toString('hex', 0, RANDOM_BYTES_PER_ID);
    this.#pool = this.#pool.subarray(RANDOM_BYTES_PER_ID);
    return hex;
  }
}
