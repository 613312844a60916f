import { setTimeout as pause } from 'node:timers/promises';
import type { ClientReadableStream } from '@grpc/grpc-js';
import type { EventServiceClient, SubscribeResponse } from '../../gen/stint/v1/event_service.ts';
import { SubscribeRequest } from '../../gen/stint/v1/event_service.ts';
import { isPassing } from '../call.ts';
import type { Ledger } from './ledger.ts';

const pauseMs = 200;
/** Consecutive streams that brought no message; then the service is taken for gone. */
const emptyStreams = 100;

/** Follows everything that happens, from now on, and goes on from its cursor wherever a stream ends. */
export class Follower {
  readonly #service: EventServiceClient;
  readonly #queue: string;
  readonly #ledger: Ledger;
  #cursor: string | null = null;
  #stream: ClientReadableStream<SubscribeResponse> | null = null;
  #stopped = false;
  #wasCut = false;
  resumes = 0;

  constructor(service: EventServiceClient, queue: string, ledger: Ledger) {
    this.#service = service;
    this.#queue = queue;
    this.#ledger = ledger;
  }

  /** Runs until it is stopped. `onReady` is called once the first cursor is held: what happens after that is not missed. */
  async run(onReady: () => void): Promise<void> {
    for (let empty = 0; !this.#stopped;) {
      const before = this.#cursor;
      try {
        await this.#follow(onReady);
      } catch (error) {
        if (!this.#stopped && !isPassing(error) && !this.#wasCut) throw error;
      }
      this.#wasCut = false;
      empty = this.#cursor === before ? empty + 1 : 0;
      if (empty >= emptyStreams) throw new Error('the event stream ends again and again without a message');
      if (!this.#stopped) await pause(pauseMs);
    }
  }

  /** Ends the stream as a lost connection would; the next one resumes. */
  cut(): void {
    this.#wasCut = true;
    this.#stream?.cancel();
  }

  stop(): void {
    this.#stopped = true;
    this.#stream?.cancel();
  }

  async #follow(onReady: () => void): Promise<void> {
    if (this.#cursor !== null) this.resumes += 1;
    const stream = this.#service.subscribe(
      SubscribeRequest.fromPartial({
        scope: { $case: 'everything', everything: {} },
        start: this.#cursor === null ? { $case: 'fromNow', fromNow: {} } : { $case: 'cursor', cursor: this.#cursor },
      }),
    );
    this.#stream = stream;
    const messages: AsyncIterable<SubscribeResponse> = stream;
    for await (const message of messages) {
      for (const event of message.events) if (event.queue === this.#queue) this.#ledger.record(event);
      // The cursor stands after the whole message, so it is kept once every event of it is written down.
      this.#cursor = message.cursor;
      onReady();
    }
  }
}
