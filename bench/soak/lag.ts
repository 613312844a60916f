import { setTimeout as pause } from 'node:timers/promises';
import type { ClientReadableStream } from '@grpc/grpc-js';
import { SubscribeRequest, type SubscribeResponse } from '../../gen/stint/v1/event_service.ts';
import { connect, type Stint } from '../../test/contract/stint.ts';

const NAMESPACE = 'lag';
const SCOPE = { $case: 'queue', queue: 'q' } as const;
/** Past it an event counts as lost: the feed polls every second, also without any ring. */
const LIMIT_MS = 60_000;
const LOOK_MS = 1;

/** Measures how long after an enqueue is answered on one replica its event is told on the other. */
export class LagProbe {
  readonly #here: Stint;
  readonly #there: Stint;
  readonly #stream: ClientReadableStream<SubscribeResponse>;
  readonly #toldAt = new Map<string, number>();

  constructor(here: string, there: string) {
    this.#here = connect(here);
    this.#there = connect(there);
    const request = SubscribeRequest.fromPartial({
      namespace: NAMESPACE,
      scope: SCOPE,
      start: { $case: 'fromBeginning', fromBeginning: {} },
    });
    this.#stream = this.#there.raw.events.subscribe(request);
    this.#stream.on('error', () => undefined);
    this.#stream.on('data', ({ events }: SubscribeResponse) => events.forEach(({ jobId }) => this.#toldAt.set(jobId, performance.now())));
  }

  /** Milliseconds; 0 where the event came before the answer. Throws past a minute. */
  async measure(): Promise<number> {
    const { job } = await this.#here.enqueue({ namespace: NAMESPACE, job: { queue: SCOPE.queue } });
    const answeredAt = performance.now();
    for (;;) {
      const toldAt = this.#toldAt.get(job?.jobId ?? '');
      if (toldAt !== undefined) {
        this.#toldAt.clear();
        return Math.max(0, toldAt - answeredAt);
      }
      if (performance.now() - answeredAt > LIMIT_MS) throw new Error(`an event was not told within ${LIMIT_MS} ms`);
      await pause(LOOK_MS);
    }
  }

  close(): void {
    this.#stream.cancel();
    this.#here.close();
    this.#there.close();
  }
}
