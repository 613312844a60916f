import type { JobEvent } from '../../domain/event.ts';
import type { JobProgress } from '../../domain/progress.ts';
import { endingOf } from '../ending.ts';
import type { Delivery } from '../engine.ts';
import { EpochEnded } from '../ports/event-log.ts';

export interface Message {
  readonly events: readonly JobEvent[];
  /** Resumes behind it. */
  readonly cursor: string;
  /** Default: none. */
  readonly progress?: readonly JobProgress[];
}

export interface Listening {
  /** Aborts when the stream is to end in order. */
  readonly draining: AbortSignal;
  /** Aborts when nobody listens any more: then nothing is said. */
  readonly signal: AbortSignal;
}

/** Hands messages on, and where the stream ends by our will says so with the cursor to go on from. */
export async function* deliver(messages: AsyncIterable<Message>, { draining, signal }: Listening): AsyncGenerator<Delivery> {
  let cursor = '';
  try {
    for await (const message of messages) {
      cursor = message.cursor;
      yield { ...message, reconnect: null };
    }
    if (!signal.aborted) yield { events: [], cursor, reconnect: endingOf(draining) };
  } catch (error) {
    if (!(error instanceof EpochEnded)) throw error;
    yield { events: [], cursor, reconnect: 'history_ended' };
  }
}
