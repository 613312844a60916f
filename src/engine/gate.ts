import { RefusalError } from '../domain/error.ts';
import type { Repository } from './ports/repository.ts';

/** Reads of the request path that run at once; the other connections are the lanes'. */
const SHORT_READS = 4;
const MAX_WAITING_SHORT_READS = 10_000;
/** Listings and checks that run at once: as many as their pool has connections. */
const LONG_READS = 2;
const MAX_WAITING_LONG_READS = 200;
const RETRY_AFTER_MS = 500;

/** Lets so many through at once; the others wait in turn, up to a bound. */
export class Gate {
  readonly #name: string;
  readonly #open: number;
  readonly #maxWaiting: number;
  readonly #waiting: (() => void)[] = [];
  #inside = 0;

  constructor({ name, open, maxWaiting }: { readonly name: string; readonly open: number; readonly maxWaiting: number }) {
    this.#name = name;
    this.#open = open;
    this.#maxWaiting = maxWaiting;
  }

  async pass<T>(work: () => Promise<T>): Promise<T> {
    if (this.#inside >= this.#open) await this.#wait();
    else this.#inside += 1;
    try {
      return await work();
    } finally {
      // Whoever is let in takes the place of the one who leaves.
      const next = this.#waiting.shift();
      if (next === undefined) this.#inside -= 1;
      else next();
    }
  }

  #wait(): Promise<void> {
    if (this.#waiting.length >= this.#maxWaiting) {
      throw new RefusalError({ kind: 'overloaded', what: this.#name, retryAfterMs: RETRY_AFTER_MS });
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** The repository with a bound on whatever does not go through a lane of group commit: no reader can crowd out the lanes. */
export function gated(repository: Repository): Repository {
  const short = new Gate({ name: 'reads', open: SHORT_READS, maxWaiting: MAX_WAITING_SHORT_READS });
  const long = new Gate({ name: 'listings', open: LONG_READS, maxWaiting: MAX_WAITING_LONG_READS });
  return {
    ...repository,
    configuredQueue: (name) => short.pass(() => repository.configuredQueue(name)),
    listQueues: (...query) => short.pass(() => repository.listQueues(...query)),
    listAudit: (...query) => short.pass(() => repository.listAudit(...query)),
    drainState: (name) => short.pass(() => repository.drainState(name)),
    workedQueues: (...query) => short.pass(() => repository.workedQueues(...query)),
    queueStats: (name) => short.pass(() => repository.queueStats(name)),
    resolveQueues: (names) => short.pass(() => repository.resolveQueues(names)),
    createQueues: (names) => short.pass(() => repository.createQueues(names)),
    endOfLife: (...query) => short.pass(() => repository.endOfLife(...query)),
    getPayload: (id) => short.pass(() => repository.getPayload(id)),
    leasesOfRequest: (...request) => short.pass(() => repository.leasesOfRequest(...request)),
    history: (...query) => short.pass(() => repository.history(...query)),
    peekQueue: (...query) => short.pass(() => repository.peekQueue(...query)),
    listAttempts: (query) => short.pass(() => repository.listAttempts(query)),
    listJobs: (...query) => long.pass(() => repository.listJobs(...query)),
    signedJobs: (...query) => long.pass(() => repository.signedJobs(...query)),
    listDeadLetters: (...query) => long.pass(() => repository.listDeadLetters(...query)),
    findReplayable: (...query) => long.pass(() => repository.findReplayable(...query)),
    foreseeReplay: (page) => long.pass(() => repository.foreseeReplay(page)),
    retainedJobs: (...query) => long.pass(() => repository.retainedJobs(...query)),
    replayedJobs: (...query) => long.pass(() => repository.replayedJobs(...query)),
    checkInvariants: (...query) => long.pass(() => repository.checkInvariants(...query)),
  };
}
