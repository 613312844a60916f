export interface DoorbellListener {
  /** Something was committed. */
  readonly onRing: () => void;
  /** An operator changed a queue, on whatever replica. */
  readonly onQueues: () => void;
}

/** A hint between replicas that something was committed. May be lost, doubled or late: whoever hears it looks, whoever does not looks anyway. */
export interface Doorbell {
  /** Rings for the other replicas, soon; many rings in a row are one. */
  ring(): void;
  /** Calls back for each ring of another replica, and whenever rings may have been missed. */
  listen(heard: DoorbellListener): Promise<void>;
  close(): Promise<void>;
}
