import { credentials } from '@grpc/grpc-js';
import { EventServiceClient } from '../../../gen/stint/v1/event_service.ts';
import { JobServiceClient } from '../../../gen/stint/v1/job_service.ts';
import { QueueServiceClient } from '../../../gen/stint/v1/queue_service.ts';
import { WorkerServiceClient } from '../../../gen/stint/v1/worker_service.ts';

/** The clients of one replica. */
export interface Stubs {
  readonly replica: string;
  readonly jobs: JobServiceClient;
  readonly workers: WorkerServiceClient;
  readonly events: EventServiceClient;
  readonly queues: QueueServiceClient;
}

const options = {
  // A replica that stands still leaves its connections open: only a ping that nobody answers tells.
  'grpc.keepalive_time_ms': 2_000,
  'grpc.keepalive_timeout_ms': 3_000,
  // By default a channel waits up to two minutes before it tries a restarted replica again.
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 500,
  // The history tells each try, so no try may be hidden in another.
  'grpc.enable_retries': 0,
};

/** Clients of several replicas, in turn. */
export class Pool {
  readonly #stubs: readonly Stubs[];
  #turn: number;

  /** Begins with the replica at `first`, so that several processes do not walk in step. */
  constructor(addresses: readonly string[], first = 0) {
    const insecure = credentials.createInsecure();
    this.#turn = first;
    this.#stubs = addresses.map((replica) => ({
      replica,
      jobs: new JobServiceClient(replica, insecure, options),
      workers: new WorkerServiceClient(replica, insecure, options),
      events: new EventServiceClient(replica, insecure, options),
      queues: new QueueServiceClient(replica, insecure, options),
    }));
  }

  /** Another replica than the last time, if there is another. */
  next(): Stubs {
    const stubs = this.#stubs[this.#turn % this.#stubs.length];
    if (stubs === undefined) throw new Error('a load needs the address of a replica');
    this.#turn += 1;
    return stubs;
  }

  close(): void {
    for (const { jobs, workers, events, queues } of this.#stubs) [jobs, workers, events, queues].forEach((client) => client.close());
  }
}
