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

/** How the streams of a streamer end: by its own cancel or a broken connection, at once or once what it said is on its way. */
export const cutWays = ['cancel', 'reset', 'late_cancel', 'late_reset'] as const;
export type CutWay = (typeof cutWays)[number];

/** Of messages on one stream: each is cut behind the first, the second, and so on up to this one. */
export const BOUNDARIES = 20;

/** The load writes it itself, so its shape is that of its type. */
export function parseSettings(text: string | undefined): LoadSettings {
  if (text === undefined) throw new Error('the settings are missing');
  return JSON.parse(text) as LoadSettings;
}
