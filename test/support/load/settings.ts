/** What a program of the load is told, as the one argument of its process. */
export interface LoadSettings {
  /** Its name in the history. */
  readonly name: string;
  /** Which of its kind it is, from 0. */
  readonly number: number;
  readonly addresses: readonly string[];
  readonly namespace: string;
  readonly queues: readonly string[];
  readonly historyFile: string;
  /** How long a producer rests between two calls of a lane. */
  readonly pauseMs: number;
  /** Reasons of refusals that are no fault. */
  readonly refusals: readonly string[];
}

/** The load writes it itself, so its shape is that of its type. */
export function parseSettings(text: string | undefined): LoadSettings {
  if (text === undefined) throw new Error('the settings are missing');
  return JSON.parse(text) as LoadSettings;
}
