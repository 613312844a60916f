import { type ClientReadableStream, credentials } from '@grpc/grpc-js';
import type { Event } from '../../gen/stint/v1/event.ts';
import { EventServiceClient, SubscribeRequest, type SubscribeResponse } from '../../gen/stint/v1/event_service.ts';

/** A subscriber to all of a namespace, from the beginning, on a connection of its own, that can stop reading and go on. */
export class Reader {
  readonly #client: EventServiceClient;
  readonly #stream: ClientReadableStream<SubscribeResponse>;
  /** The last sequence of each job. */
  readonly #last = new Map<string, bigint>();
  /** Events that did not follow the one before of their job. */
  readonly outOfTurn: Event[] = [];
  count = 0;

  constructor(address: string, namespace: string) {
    // Without a pool of its own it would share a connection, and the window of that, with every other one.
    this.#client = new EventServiceClient(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
    const request = {
      namespace,
      scope: { $case: 'everything', everything: {} },
      start: { $case: 'fromBeginning', fromBeginning: {} },
    } as const;
    this.#stream = this.#client.subscribe(SubscribeRequest.fromPartial(request));
    // Whoever leaves is told so by an error.
    this.#stream.on('error', () => undefined);
    this.#stream.on('data', ({ events }: SubscribeResponse) => events.forEach((event) => this.#take(event)));
  }

  get jobs(): number {
    return this.#last.size;
  }

  stop(): void {
    this.#stream.pause();
  }

  goOn(): void {
    this.#stream.resume();
  }

  leave(): void {
    this.#client.close();
    this.#stream.cancel();
  }

  #take(event: Event): void {
    this.count += 1;
    if (event.sequence !== (this.#last.get(event.jobId) ?? 0n) + 1n) this.outOfTurn.push(event);
    this.#last.set(event.jobId, event.sequence);
  }
}
