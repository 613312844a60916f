/** Why the service ends streams of its own accord: for the replica, or for the connection that carries them. */
export type Ending = 'shutting_down' | 'connection_age';

/** Of the signal that ends them. One that gives no reason is that of the replica. */
export function endingOf(signal: AbortSignal): Ending {
  return signal.reason === 'connection_age' ? 'connection_age' : 'shutting_down';
}
