/** What this needs of a call of grpc-js, of whichever kind. */
interface Surface {
  readonly cancelled: boolean;
  readonly metadata: { get(name: string): readonly (string | Buffer)[] };
  getDeadline(): Date | number;
  getPeer(): string;
  once(event: 'cancelled', listener: () => void): unknown;
}

/** What this needs of the connection that carries the call. */
export interface Carrier {
  /** Aborts, with the reason, when its streams are to end. */
  readonly ending: AbortSignal;
  /** Until it is cut, whatever it carries; Infinity where it may grow old. */
  remainingMs(): number;
}

/** The connections of a server, by the peer's address and port. */
export interface Carriers {
  of(peer: string): Carrier | undefined;
}

/** One for all: making an error costs more than the rest of a call's end. */
const ENDED = new DOMException('the call is over', 'AbortError');

/** What a handler knows of its call besides the request. */
export class Call {
  readonly #surface: Surface;
  readonly #carriers: Carriers | null;
  #controller: AbortController | null = null;

  constructor(surface: Surface, carriers: Carriers | null = null) {
    [this.#surface, this.#carriers] = [surface, carriers];
  }

  /**
   * Aborts when the client cancels, goes away or runs out of its deadline; also once the call has ended. Made when first
   * asked for: most calls end before anybody wants to know.
   */
  get signal(): AbortSignal {
    if (this.#controller === null) {
      const controller = new AbortController();
      if (this.#surface.cancelled) controller.abort(ENDED);
      else this.#surface.once('cancelled', () => controller.abort(ENDED));
      this.#controller = controller;
    }
    return this.#controller.signal;
  }

  /** Where the call comes from, as far as the transport knows. */
  get peer(): string {
    return this.#surface.getPeer();
  }

  /** The first value that the client sent under this name, in lower case; null where there is none. */
  header(name: string): string | null {
    const [value] = this.#surface.metadata.get(name);
    return typeof value === 'string' ? value : null;
  }

  get isCancelled(): boolean {
    return this.#surface.cancelled;
  }

  /** Aborts, with the reason, when the connection is to carry no streams any more; they end in order. Undefined where nobody tells. */
  get ending(): AbortSignal | undefined {
    return this.#carriers?.of(this.peer)?.ending;
  }

  /** Until the client gives up or its connection is cut; Infinity where neither is to be expected. */
  remainingMs(): number {
    return Math.min(Number(this.#surface.getDeadline()) - Date.now(), this.#carriers?.of(this.peer)?.remainingMs() ?? Infinity);
  }
}
