import type { JobProgress } from '../../domain/progress.ts';

export interface DoorbellListener {
  /** Something was committed. */
  readonly onRing: () => void;
  /** An operator changed a queue, on whatever replica. */
  readonly onQueues: () => void;
  /** Another replica tells progress. Whoever wants none does not have `read` called, which parses it. */
  readonly onProgress?: (read: () => readonly JobProgress[]) => void;
}

/** A hint between replicas that something was committed. May be lost, doubled or late: whoever hears it looks, whoever does not looks anyway. */
export interface Doorbell {
  /** Rings for the other replicas, soon; many rings in a row are one. */
  ring(): void;
  /** Tells the other replicas, at once. May be lost; throws where it surely is. */
  tell(progress: readonly JobProgress[]): Promise<void>;
  /** Calls back for each ring of another replica, and whenever rings may have been missed. */
  listen(heard: DoorbellListener): Promise<void>;
  close(): Promise<void>;
}
