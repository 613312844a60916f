/** What the bench asks of its processes and what they answer: plain objects over the channel of a forked process. */
import { z } from 'zod';

export const LOADS = ['enqueue', 'claim-settle', 'lifecycle', 'probe'] as const;
export type Load = (typeof LOADS)[number];

const place = {
  /** Where the work goes: host:port of a service, or the URL of a database. */
  target: z.string(),
  queue: z.string(),
  /** Over so many queues of that name the jobs are spread, and each claim names them all. */
  queues: z.int().optional(),
  /** Jobs of one call. */
  batch: z.int(),
  /** How workers come by jobs: by `Claim`, over `Work`, or by acks that ask for the next. Default: by `Claim`. */
  through: z.enum(['claim', 'work', 'next']).optional(),
  /** Jobs that a `Work` session holds at once. */
  credits: z.int().optional(),
  /** Of those queues every so-manieth only, from this one on. Default: all of them. */
  share: z.object({ number: z.int(), of: z.int() }).optional(),
  /** Bytes of a payload. Default: the payload that all rows have. */
  payloadBytes: z.int().optional(),
  /** Keys of each kind that the jobs have in turn; 0: they have none. */
  keys: z.object({ fairness: z.int(), concurrency: z.int() }),
};

/** Where the work goes, and of what size. */
export type Place = z.infer<z.ZodObject<typeof place>>;

const task = z.object({
  ...place,
  load: z.enum(LOADS),
  callers: z.int(),
  /** Where callers go in turn, each of these by a route of its own. Default: all of them by one route. */
  places: z.array(z.object(place)).optional(),
  /** A caller begins its turns so far apart, unless they take longer. Default: one after the other. */
  everyMs: z.number().optional(),
});
export type Task = z.infer<typeof task>;

const fill = z.object({ kind: z.literal('fill'), ...place, calls: z.int() });
export type Fill = z.infer<typeof fill>;

export const request = z.discriminatedUnion('kind', [
  /** Lays in so many calls' worth of jobs. A peer first begins anew: what former measurements left is gone. */
  fill,
  /** The callers begin; each takes one turn after the other. */
  z.object({ kind: z.literal('start'), task }),
  /** How far they are. What is measured lies between the first mark and the second. */
  z.object({ kind: z.literal('mark') }),
  /** The callers end with the turn they are in. Answers how long each turn between the marks took. */
  z.object({ kind: z.literal('stop') }),
]);
export type Request = z.infer<typeof request>;

export const mark = z.object({ atMs: z.number(), jobs: z.int(), ranDry: z.boolean() });
export type Mark = z.infer<typeof mark>;

export const turnTimesMs = z.array(z.number());

/** Sent once by each process: it can be asked. A service tells its address. */
export const readyMessage = z.object({ ready: z.string() });

export const reply = z.object({ id: z.int(), value: z.unknown().optional(), error: z.string().optional() });
export const numbered = z.object({ id: z.int(), request });
