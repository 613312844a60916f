import type { Server, ServerWritableStream, UntypedServiceImplementation } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';

/** A service's name in `grpc.health.v1`; the empty one stands for the whole process. */
const OVERALL = '';

/** SERVING from the first moment to the last, whatever the database does: who restarts a process asks for this one. */
const LIVENESS = 'liveness';

/** How much later than readiness itself the probes may tell of it. */
const READINESS_LOOK_MS = 1_000;

type Stream = ServerWritableStream<{ readonly service: string }, { readonly status: string }>;

/** `grpc.health.v1` for each service and overall. Nothing serves until it is told to. */
export class Health {
  readonly #implementation = new HealthImplementation();
  readonly #names: readonly string[];
  readonly #watchers = new Set<Stream>();

  constructor(services: readonly string[]) {
    this.#names = [OVERALL, ...services];
    this.setServing(false);
    this.#implementation.setStatus(LIVENESS, 'SERVING');
  }

  /** Every service and the whole, but not that the process lives. */
  setServing(serving: boolean): void {
    for (const name of this.#names) this.setServiceServing(name, serving);
  }

  /** Until the answered function is called; watchers hear of changes only. */
  followReadiness(isReady: () => boolean): () => void {
    let told = isReady();
    this.setServing(told);
    const looking = setInterval(() => {
      if (isReady() === told) return;
      told = !told;
      this.setServing(told);
    }, READINESS_LOOK_MS).unref();
    return () => clearInterval(looking);
  }

  setServiceServing(name: string, serving: boolean): void {
    this.#implementation.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING');
  }

  addTo(server: Server): void {
    this.#implementation.addToServer({
      addService: (definition, handlers) => server.addService(definition, this.#followingWatches(handlers)),
    });
  }

  /** A watch lasts as long as its client; without an end of ours each would hold up the end of its connection until the last moment. */
  endWatches(isOver: (peer: string) => boolean): void {
    for (const call of this.#watchers) if (isOver(call.getPeer())) call.end();
  }

  /** As many as the connections' streams, which the server bounds. */
  #followingWatches(handlers: UntypedServiceImplementation): UntypedServiceImplementation {
    const { watch } = handlers;
    if (watch === undefined) return handlers;
    const followed = (call: Stream) => {
      this.#watchers.add(call);
      call.once('cancelled', () => this.#watchers.delete(call));
      // The library never forgets a name that was watched: one that nobody serves is answered here, and stays unknown.
      if ([...this.#names, LIVENESS].includes(call.request.service)) Reflect.apply(watch, undefined, [call]);
      else call.write({ status: 'SERVICE_UNKNOWN' });
    };
    return { ...handlers, watch: followed };
  }
}
