/** What clients hold of a history of the database that ends behind their back, and what they are told of the next one. */
import { expect, vi } from 'vitest';
import { Event } from '../../gen/stint/v1/event.ts';
import { SubscribeRequest, type SubscribeResponse } from '../../gen/stint/v1/event_service.ts';
import { ReconnectReason } from '../../gen/stint/v1/reconnect.ts';
import { collect, reasonOf, type Stint } from '../contract/stint.ts';

/** Longer than a file of tests takes. */
const STREAM_DEADLINE_MS = 600_000;
const LONG = { timeout: 60_000, interval: 20 };

type Scope = Pick<SubscribeRequest, 'namespace' | 'scope'>;

/** Streams of one job, of its queue and of everything, on each replica; open over the end of a history. */
export class FormerReaders {
  readonly #stints: readonly Stint[];
  readonly #namespace: string;
  readonly #streams: readonly OpenStream[];
  /** Places in the former history, as clients keep them. */
  readonly #kept: { readonly scope: Scope; readonly cursor: string }[] = [];
  #told: readonly (readonly Event[])[] = [];

  constructor(stints: readonly Stint[], { namespace, queue, jobId }: Pick<Event, 'namespace' | 'queue' | 'jobId'>) {
    const scopes: Scope[] = [
      { namespace, scope: { $case: 'everything', everything: {} } },
      { namespace, scope: { $case: 'queue', queue } },
      { namespace, scope: { $case: 'jobId', jobId } },
    ];
    this.#stints = stints;
    this.#namespace = namespace;
    this.#streams = stints.flatMap((stint) => scopes.map((scope) => new OpenStream(stint, scope)));
  }

  /** The cursors behind all that is there, which must not change meanwhile. */
  async keepCursors(): Promise<void> {
    const [stint] = this.#stints;
    const histories = await historiesOf(stint ?? expect.unreachable(), this.#namespace);
    for (const stream of this.#streams) await stream.untilToldOf(histories.flat());
    this.#kept.push(...this.#streams.map(({ scope, cursor }) => ({ scope, cursor })));
    this.#told = this.#streams.map(({ events }) => events);
  }

  /** Each stream ended by a word, and told nothing since the cursors were kept. */
  async expectEnded(): Promise<void> {
    for (const stream of this.#streams) {
      await vi.waitFor(() => expect(stream.messages.at(-1)?.reconnect).toEqual({ reason: ReconnectReason.HISTORY_ENDED }), LONG);
      await stream.ended;
    }
    expect(this.#streams.map(({ events }) => events)).toEqual(this.#told);
  }

  /** No replica goes on from a place of before, nor from that which came with the word. */
  async expectExpired(): Promise<void> {
    for (const stint of this.#stints) {
      for (const { scope, cursor } of [...this.#kept, ...this.#streams]) {
        const resumed = stint.subscribe({ ...scope, start: { $case: 'cursor', cursor } });
        expect(await reasonOf(resumed.next())).toBe('OUT_OF_RANGE/CURSOR_EXPIRED');
      }
    }
  }
}

/** A stream from the beginning, read as it comes. */
class OpenStream {
  readonly scope: Scope;
  readonly messages: SubscribeResponse[] = [];
  /** Rejects where the service did not end it with OK. */
  readonly ended: Promise<void>;

  constructor(stint: Stint, scope: Scope) {
    this.scope = scope;
    const request = SubscribeRequest.fromPartial({ ...scope, start: { $case: 'fromBeginning', fromBeginning: {} } });
    const stream = stint.raw.events.subscribe(request, { deadline: Date.now() + STREAM_DEADLINE_MS });
    stream.on('data', (message: SubscribeResponse) => this.messages.push(message));
    this.ended = new Promise((resolve, reject) => stream.once('end', resolve).once('error', reject));
    this.ended.catch(() => undefined);
  }

  get events(): readonly Event[] {
    return this.messages.flatMap(({ events }) => events);
  }

  get cursor(): string {
    return this.messages.at(-1)?.cursor ?? '';
  }

  async untilToldOf(events: readonly Event[]): Promise<void> {
    const wanted = events.filter((event) => this.#covers(event)).length;
    await vi.waitFor(() => expect(this.events.length).toBe(wanted), LONG);
  }

  #covers({ queue, jobId }: Event): boolean {
    const { scope } = this.scope;
    if (scope?.$case === 'queue') return queue === scope.queue;
    return scope?.$case === 'jobId' ? jobId === scope.jobId : true;
  }
}

/** All events of each job of a namespace, as `ListEvents` tells them. */
export async function historiesOf(stint: Stint, namespace: string): Promise<readonly (readonly Event[])[]> {
  const { jobs } = await stint.listJobs({ namespace, pageSize: 1_000 });
  return await Promise.all(jobs.map(async ({ jobId }) => (await stint.listEvents({ namespace, jobId, pageSize: 1_000 })).events));
}

/** A new subscriber is told every event of every job, each once, in the order of the job, as `ListEvents` tells them. Gives them. */
export async function expectWholeHistory(stint: Stint, namespace: string): Promise<readonly Event[]> {
  const histories = await historiesOf(stint, namespace);
  for (const events of histories) expect(events.map(({ sequence }) => sequence)).toEqual(events.map((_, index) => BigInt(index + 1)));
  const scope = { $case: 'everything', everything: {} } as const;
  const follower = stint.subscribe({ namespace, scope, start: { $case: 'fromBeginning', fromBeginning: {} } });
  const { events } = await collect(follower, (told) => told.length >= histories.flat().length);
  expect(events.length).toBe(histories.flat().length);
  for (const history of histories) {
    const told = events.filter(({ jobId }) => jobId === history[0]?.jobId);
    expect(told.map(encoded)).toEqual(history.map(encoded));
  }
  return events;
}

function encoded(event: Event): string {
  return Buffer.from(Event.encode(event).finish()).toString('hex');
}
