import type { ClientDuplexStream } from '@grpc/grpc-js';
import { WorkRequest, type WorkResponse } from '../../../gen/stint/v1/worker_service.ts';

type Said = NonNullable<WorkResponse['response']>;
type Kind = Said['$case'];
type Of<Wanted extends Kind> = Extract<Said, { readonly $case: Wanted }>;

export interface Cut {
  /** Messages of both ends, counted as the client sends and hears them. */
  readonly after: number;
  readonly cut: (last: 'said' | 'heard') => void;
}

/** A `Work` stream that is cut after so many messages. */
export class CutStream {
  readonly #stream: ClientDuplexStream<WorkRequest, WorkResponse>;
  readonly #cut: Cut;
  readonly #unread: Said[] = [];
  readonly #waiting = new Set<() => void>();
  #messages = 0;
  #error: Error | null = null;
  #isOver = false;
  #isFinished = false;

  constructor(stream: ClientDuplexStream<WorkRequest, WorkResponse>, cut: Cut) {
    this.#stream = stream;
    this.#cut = cut;
    stream.on('data', ({ response }: WorkResponse) => {
      if (response !== undefined) this.#unread.push(response);
      this.#passed('heard');
      this.#wake();
    });
    stream.on('error', (error) => this.#end(error));
    stream.on('end', () => this.#end(null));
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get wasCut(): boolean {
    return this.#messages >= this.#cut.after;
  }

  /** Null where the service has ended it with OK. */
  get error(): Error | null {
    return this.#error;
  }

  say(request: Parameters<typeof WorkRequest.fromPartial>[0]['request']): void {
    if (this.#isOver || this.#isFinished || this.wasCut) return;
    this.#stream.write(WorkRequest.fromPartial({ request }));
    this.#passed('said');
  }

  /** Says no more. */
  finish(): void {
    this.#isFinished = true;
    this.#stream.end();
  }

  /** The first that has not been read; null once none can come. */
  async next<Wanted extends Kind>(kind: Wanted, isIt = (_said: Of<Wanted>): boolean => true): Promise<Of<Wanted> | null> {
    for (;;) {
      const index = this.#unread.findIndex((said) => isOf(said, kind) && isIt(said));
      const [found] = index < 0 ? [] : this.#unread.splice(index, 1);
      if (found !== undefined && isOf(found, kind)) return found;
      if (this.#isOver) return null;
      await this.#change();
    }
  }

  async over(): Promise<void> {
    while (!this.#isOver) await this.#change();
  }

  #passed(last: 'said' | 'heard'): void {
    this.#messages += 1;
    if (this.#messages === this.#cut.after) this.#cut.cut(last);
  }

  #end(error: Error | null): void {
    if (this.#isOver) return;
    this.#error = error;
    this.#isOver = true;
    this.#wake();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add(resolve));
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}

function isOf<Wanted extends Kind>(said: Said, kind: Wanted): said is Of<Wanted> {
  return said.$case === kind;
}
