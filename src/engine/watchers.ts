/** Who watches the engine. Nothing is measured for who is not there. */
import type { CommitObserver } from './ports/commit-observer.ts';
import type { Figures } from './ports/figures.ts';
import type { JobObserver } from './ports/job-observer.ts';
import type { Repository } from './ports/repository.ts';
import { watched } from './watched.ts';

export interface Watchers {
  readonly commits?: CommitObserver | undefined;
  readonly jobs?: JobObserver | undefined;
  /** Hears every 5 s how the queues are doing, so many of them by name. */
  readonly figures?: { readonly queues: number; readonly tell: (figures: Figures) => void } | undefined;
}

/** What the engine holds in memory, and what it takes the time for. */
export interface EngineState {
  /** Claims that wait for jobs. */
  readonly parkedClaims: number;
  /** Open `Work` streams. */
  readonly sessions: number;
  /** The database's clock, as estimated from what was last heard. */
  readonly databaseTimeMs: number;
}

export function watchedBy({ jobs }: Watchers, repository: Repository): Repository {
  return jobs === undefined ? repository : watched(repository, jobs);
}

/** One look at the queues; undefined where nobody wants to know. */
export function figuresLook({ figures }: Watchers, repository: Repository): (() => Promise<void>) | undefined {
  return figures === undefined ? undefined : async () => figures.tell(await repository.queueFigures(figures.queues));
}
