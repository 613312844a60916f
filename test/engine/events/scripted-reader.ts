import type { LogChunk, LogPosition } from '../../../src/engine/ports/journal.ts';
import { EpochEnded, type EventLog, type LogReader } from '../../../src/engine/ports/event-log.ts';
import { Signal } from '../../../src/engine/ports/signal.ts';
import type { JobEvent } from '../../../src/domain/event.ts';

const EPOCH = { number: 1, id: '9b2e1c1e-6a7c-4a3f-8a57-000000000001' };

function positionAfter(chunks: number): LogPosition {
  return { epoch: EPOCH, seen: `1:${chunks + 1}:`, window: null };
}

/** A log whose chunks come when the test says so. */
export class ScriptedLog implements EventLog {
  readonly #chunks: LogChunk[] = [];
  #ended = false;
  readonly #changed = new Signal();
  closed = 0;

  /** What was committed comes as one chunk. */
  tell(...events: readonly JobEvent[]): void {
    const n = this.#chunks.length;
    const logged = events.map((event, index) => ({ event, next: { epoch: 1, n, offset: index + 1 } }));
    const [seenBefore, position] = [positionAfter(n).seen, positionAfter(n + 1)];
    this.#chunks.push({ events: logged, seenBefore, upTo: position.seen ?? '', position, complete: true });
    this.#changed.fire();
  }

  endEpoch(): void {
    this.#ended = true;
    this.#changed.fire();
  }

  readFrom(): Promise<LogReader> {
    let read = 0;
    const next = async (signal: AbortSignal, forMs: number): Promise<LogChunk | null> => {
      const until = performance.now() + forMs;
      for (let leftMs = forMs; leftMs > 0 && !signal.aborted; leftMs = until - performance.now()) {
        if (this.#ended) throw new EpochEnded();
        const chunk = this.#chunks[read];
        if (chunk !== undefined) {
          read += 1;
          return chunk;
        }
        await this.#changed.wait(signal, leftMs);
      }
      return null;
    };
    return Promise.resolve({
      next,
      get position() {
        return positionAfter(read);
      },
      close: () => void (this.closed += 1),
    });
  }

  epoch = () => Promise.resolve(EPOCH);
  watch = () => Promise.reject(new Error('nobody watches'));
  watchMany = () => Promise.reject(new Error('nobody watches'));
  keepReading = () => ({ close: () => undefined });
  keepHearing = () => ({ close: () => undefined });
  committed = () => undefined;
  committedAndTold = () => undefined;
}
