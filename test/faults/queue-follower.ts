import { SubscribeRequest, type SubscribeResponse } from '../../gen/stint/v1/event_service.ts';
import { Follower, type Stint } from '../contract/stint.ts';
import { untilOk } from './until-ok.ts';

/** Longer than a test: what a stream is not told of, it must not find out by being opened again. */
const STREAM_DEADLINE_MS = 600_000;

type Start = NonNullable<SubscribeRequest['start']>;

/** A subscription to a queue from one moment on; where a stream breaks, the next resumes. */
export class QueueFollower {
  readonly #open: (start: Start) => Follower<SubscribeResponse>;
  #follower: Follower<SubscribeResponse>;
  #cursor: string;

  private constructor(open: (start: Start) => Follower<SubscribeResponse>, follower: Follower<SubscribeResponse>, cursor: string) {
    this.#open = open;
    this.#follower = follower;
    this.#cursor = cursor;
  }

  /** Follows from when it is given. */
  static async open({ raw }: Stint, namespace: string, queue: string): Promise<QueueFollower> {
    const open = (start: Start) => {
      const request = SubscribeRequest.fromPartial({ namespace, scope: { $case: 'queue', queue }, start });
      return new Follower(raw.events.subscribe(request, { deadline: Date.now() + STREAM_DEADLINE_MS }));
    };
    // The first message comes at once, and has the cursor of that moment.
    return await untilOk(async () => {
      const follower = open({ $case: 'fromNow', fromNow: {} });
      const { cursor } = await follower.next();
      return new QueueFollower(open, follower, cursor);
    });
  }

  /** Resolves when it is told that the job has succeeded. */
  async untilSucceeded(jobId: string): Promise<void> {
    for (let found = false; !found;) {
      const { events } = await untilOk(() => this.#next());
      found = events.some((event) => event.jobId === jobId && event.type === 'succeeded');
    }
    this.#follower.cancel();
  }

  async #next(): Promise<SubscribeResponse> {
    try {
      const message = await this.#follower.next();
      this.#cursor = message.cursor;
      return message;
    } catch (error) {
      this.#follower = this.#open({ $case: 'cursor', cursor: this.#cursor });
      throw error;
    }
  }
}
