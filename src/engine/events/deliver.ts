import type { JobEvent } from '../../domain/event.ts';
import type { JobProgress } from '../../domain/progress.ts';
import type { Delivery } from '../engine.ts';
import { EpochEnded } from '../ports/event-log.ts';

export interface Message {
  readonly events: readonly JobEvent[];
  /** Resumes behind it. */
  readonly cursor: string;
  /** Default: none. */
  readonly progress?: readonly JobProgress[];
}

/**
 * Hands messages on, and where the stream ends by our will says so with the cursor to go on from. They end without a
 * word when `signal` aborts, because then nobody listens.
 */
export async function* deliver(messages: AsyncIterable<Message>, signal: AbortSignal): AsyncGenerator<Delivery> {
  let cursor = '';
  try {
    for await (const message of messages) {
      cursor = message.cursor;
      yield { ...message, reconnect: null };
    }
    if (!signal.aborted) yield { events: [], cursor, reconnect: 'shutting_down' };
  } catch (error) {
    if (!(error instanceof EpochEnded)) throw error;
    yield { events: [], cursor, reconnect: 'history_ended' };
  }
}
