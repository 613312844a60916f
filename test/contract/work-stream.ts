/** A worker's session, as a client of it sees it. */
import { type ClientDuplexStream, Metadata } from '@grpc/grpc-js';
import { type ClaimedJob, type SettleResult, type Settlement, WorkRequest, type WorkResponse } from '../../gen/stint/v1/worker_service.ts';
import type { Scene } from './scene.ts';
import { held, type Held, type Stint } from './stint.ts';

type Open = Extract<Parameters<typeof WorkRequest.fromPartial>[0]['request'], { readonly $case: 'open' }>['open'];
export type Saying = Parameters<typeof WorkRequest.fromPartial>[0]['request'];
type Said = NonNullable<WorkResponse['response']>;
type Kind = Said['$case'];

const DEADLINE_MS = 30_000;

export class WorkStream {
  readonly #stream: ClientDuplexStream<WorkRequest, WorkResponse>;
  readonly #unread: Said[] = [];
  readonly #waiting = new Set<() => void>();
  #end: { readonly error: Error | null } | null = null;

  constructor({ raw }: Stint, deadlineMs = DEADLINE_MS) {
    this.#stream = raw.workers.work(new Metadata(), { deadline: Date.now() + deadlineMs });
    this.#stream.on('data', ({ response }: WorkResponse) => {
      if (response !== undefined) this.#unread.push(response);
      this.#wake();
    });
    this.#stream.on('error', (error) => this.#over(error));
    this.#stream.on('end', () => this.#over(null));
  }

  say(request: Saying): void {
    this.#stream.write(WorkRequest.fromPartial({ request }));
  }

  setCredits(credits: number): void {
    this.say({ $case: 'credits', credits });
  }

  /** The first message of this kind that was not read yet, and is the one meant; others are left for whoever asks for them. */
  async next<Wanted extends Kind>(kind: Wanted, isIt = (_said: Extract<Said, { readonly $case: Wanted }>): boolean => true) {
    for (;;) {
      const index = this.#unread.findIndex((said) => isOf(said, kind) && isIt(said));
      const [found] = index < 0 ? [] : this.#unread.splice(index, 1);
      if (found !== undefined && isOf(found, kind)) return found;
      if (this.#end !== null) throw this.#end.error ?? new Error(`the stream has ended without ${kind}`);
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  /** Resolves once a message of this kind has come, or none can any more. Takes nothing. */
  async came(kind: Kind): Promise<void> {
    while (this.#end === null && !this.unread.includes(kind)) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  /** Kinds that came and were not read. */
  get unread(): readonly Kind[] {
    return this.#unread.map(({ $case }) => $case);
  }

  /** As many jobs, in however many messages they come. */
  async assigned(count: number): Promise<readonly Held[]> {
    const jobs: ClaimedJob[] = [];
    while (jobs.length < count) jobs.push(...(await this.next('assigned')).assigned.jobs);
    return jobs.map(held);
  }

  async assignedOne(): Promise<Held> {
    return held((await this.next('assigned')).assigned.jobs[0]);
  }

  async settle(id: string, settlements: readonly Parameters<typeof Settlement.fromPartial>[0][]): Promise<readonly SettleResult[]> {
    this.say({ $case: 'settle', settle: { id, settlements: settlements.map((one) => ({ ...one })) } });
    return (await this.next('settled', ({ settled }) => settled.id === id)).settled.results;
  }

  async ack(...jobs: readonly Held[]): Promise<readonly SettleResult[]> {
    return this.settle(
      'ack',
      jobs.map(({ leaseToken }) => ({ leaseToken, action: { $case: 'ack', ack: {} } })),
    );
  }

  async heartbeat(...jobs: readonly Held[]) {
    this.say({ $case: 'heartbeat', heartbeat: { heldTokens: jobs.map(({ leaseToken }) => leaseToken), leases: [] } });
    return (await this.next('heartbeat')).heartbeat.results;
  }

  sayNoMore(): void {
    this.#stream.end();
  }

  /** Says no more, and waits until the service has ended the stream: rejects where that is not with OK. */
  async finish(): Promise<void> {
    this.sayNoMore();
    await this.ended();
  }

  async ended(): Promise<void> {
    while (this.#end === null) await new Promise<void>((resolve) => this.#waiting.add(resolve));
    if (this.#end.error !== null) throw this.#end.error;
  }

  get isOver(): boolean {
    return this.#end !== null;
  }

  cancel(): void {
    this.#stream.cancel();
  }

  /** Takes no message from the transport any more. */
  stopReading(): void {
    this.#stream.pause();
  }

  #over(error: Error | null): void {
    this.#end ??= { error };
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}

function isOf<Wanted extends Kind>(said: Said, kind: Wanted): said is Extract<Said, { readonly $case: Wanted }> {
  return said.$case === kind;
}

/** Opened, and answered. */
export async function openWork({ stint, namespace, queue }: Scene, open: Open = {}) {
  const stream = new WorkStream(stint);
  stream.say({ $case: 'open', open: { namespace, workerId: 'worker-1', queues: [queue], credits: 1, ...open } });
  const { opened } = await stream.next('opened');
  return { stream, opened };
}
