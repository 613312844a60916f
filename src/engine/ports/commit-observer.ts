/** A commit of a lane, as it is sent. */
export interface Flush {
  /** The lane's name. */
  readonly lane: string;
  readonly items: number;
  /** For each item: how long it has waited since it was submitted, in milliseconds; one that is tried again has waited since then too. None of a claim. */
  readonly waitsMs: readonly number[];
  /** For each item: what `origin` said when it was submitted. None of a claim. */
  readonly origins: readonly unknown[];
}

/** One who watches a commit. */
export interface FlushObservation {
  /** The commit runs within it. Default: nothing around it. */
  run?<T>(work: () => T): T;
  /** Null: it committed. Otherwise what it failed with, after which its items may be tried again, in another shape. */
  end(error: unknown): void;
}

/** Who watches what is committed together: metrics, tracing. */
export interface CommitObserver {
  /** Asked of each item as it is submitted, in its caller's context: whatever the commit shall be told of it. Default: nothing. */
  origin?(): unknown;
  /** Null: this one is not watched. */
  begin(flush: Flush): FlushObservation | null;
}

/** All of them watch. Of those who run the commit, and of those who name an origin, there is one at most. */
export function everyCommitObserver(observers: readonly CommitObserver[]): CommitObserver {
  const [only] = observers;
  if (only !== undefined && observers.length === 1) return only;
  const naming = observers.find((one) => one.origin !== undefined);
  return {
    ...(naming?.origin === undefined ? {} : { origin: naming.origin.bind(naming) }),
    begin: (flush) => together(observers.map((one) => one.begin(flush)).filter((one) => one !== null)),
  };
}

function together(observations: readonly FlushObservation[]): FlushObservation {
  const running = observations.find((one) => one.run !== undefined);
  return {
    ...(running?.run === undefined ? {} : { run: running.run.bind(running) }),
    end: (error) => {
      for (const one of observations) one.end(error);
    },
  };
}
