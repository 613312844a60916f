/** What this needs of a call of grpc-js, of whichever kind. */
interface Surface {
  readonly cancelled: boolean;
  readonly metadata: { get(name: string): readonly (string | Buffer)[] };
  getDeadline(): Date | number;
  getPeer(): string;
  once(event: 'cancelled', listener: () => void): unknown;
}

/** One for all: making an error costs more than the rest of a call's end. */
const ENDED = new DOMException('the call is over', 'AbortError');

/** What a handler knows of its call besides the request. */
export class Call {
  readonly #surface: Surface;
  #controller: AbortController | null = null;

  constructor(surface: Surface) {
    this.#surface = surface;
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

  /** Until the client gives up; Infinity where it has set no deadline. */
  remainingMs(): number {
    return Number(this.#surface.getDeadline()) - Date.now();
  }
}
