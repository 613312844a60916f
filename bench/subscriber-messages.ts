/** What the bench asks of a process of subscribers, beside what `messages.ts` has. */
import { z } from 'zod';

const subscription = z.object({
  /** host:port of a service. */
  target: z.string(),
  subscribers: z.int(),
  /** Null: everything of the namespace. */
  queue: z.string().nullable(),
  /** Keep when each event came; decodes what comes, which costs about what it costs to serve it. */
  latency: z.boolean(),
});
export type Subscription = z.infer<typeof subscription>;

export const subscriberRequest = z.discriminatedUnion('kind', [
  /** Answers when each subscriber has its first message: from then on it is told of everything. */
  z.object({ kind: z.literal('subscribe'), subscription }),
  z.object({ kind: z.literal('count') }),
  /** Answers the arrivals between the two counts. */
  z.object({ kind: z.literal('leave') }),
]);
export type SubscriberRequest = z.infer<typeof subscriberRequest>;

/** Events of one commit in one message: so many, which happened at `atMicros` by the database's clock, came at `cameAtMs`. */
export const arrivals = z.array(z.object({ atMicros: z.string(), cameAtMs: z.number(), events: z.int() }));
export type Arrival = z.infer<typeof arrivals>[number];

export const numberedForSubscriber = z.object({ id: z.int(), request: subscriberRequest });

/** Of all subscribers together. `fewest`: of the one that has had the fewest. */
export const delivered = z.object({ atMs: z.number(), events: z.int(), messages: z.int(), bytes: z.int(), fewest: z.int() });
export type Delivered = z.infer<typeof delivered>;
