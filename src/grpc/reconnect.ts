import type { Delivery } from '../engine/engine.ts';
import { ReconnectReason } from '../../gen/stint/v1/reconnect.ts';

/** What the last message of a stream says that the service ends. */
export const RECONNECT_REASONS = {
  shutting_down: ReconnectReason.SHUTTING_DOWN,
  connection_age: ReconnectReason.CONNECTION_AGE,
  history_ended: ReconnectReason.HISTORY_ENDED,
} as const satisfies Record<NonNullable<Delivery['reconnect']>, ReconnectReason>;
