import type {
  ClaimedRecord,
  EnqueueAsk,
  Ended,
  EventRecord,
  FinalJobLine,
  HistoryLine,
  SettlementOp,
  SettleTold,
} from '../support/history/record.ts';

/** How a call went. */
export interface Course {
  /** Default: at once, which is 1 ms after what went before. */
  readonly sentAtMs?: number;
  /** Default: 1 ms after it was sent. */
  readonly endedAtMs?: number | null;
  /** Default ok. */
  readonly outcome?: 'ok' | 'refused' | 'unknown';
  /** Whether it took effect. Default: unless it was refused. */
  readonly happened?: boolean;
}

export interface Held extends ClaimedRecord {
  readonly worker: string;
}

interface StoryJob {
  readonly line: FinalJobLine;
  readonly events: EventRecord[];
}

export const TTL_MS = 1_000;
const MAX_ATTEMPTS = 3;

/** A made-up history: what clients say, and what became of it in a small service that does as it should. */
export class Story {
  nowMs = 0;
  readonly #said: HistoryLine[] = [];
  readonly #jobs = new Map<string, StoryJob>();
  readonly #log: EventRecord[] = [];
  #requests = 0;

  /** Gives the id of the job that the mark names. */
  enqueue(mark: string, ask: Partial<EnqueueAsk> = {}, course: Course = {}): string {
    const jobId = ask.jobId ?? `job-${mark}`;
    const whole = { op: 'enqueue', mark, queue: 'q', priority: 0, jobId: null, key: null, content: mark, delayMs: 0, ...ask } as const;
    const deduplicated = this.#jobs.has(jobId);
    this.#said.push({ ...whole, ...this.#course(course, { jobId, deduplicated }) });
    if (deduplicated || !happens(course)) return jobId;
    const { queue, priority, key } = whole;
    const standing = { state: 'READY', life: 1, attempt: 0, maxAttempts: MAX_ATTEMPTS, fence: 0n, lastSequence: 0 };
    this.#jobs.set(jobId, { line: { op: 'final_job', jobId, mark, queue, priority, key, ...standing }, events: [] });
    this.happen(jobId, { type: 'enqueued', state: 'READY' });
    return jobId;
  }

  /** The lease of one job under its next fence. */
  claim(worker: string, jobId: string, course: Course & { readonly requestId?: string } = {}): Held {
    const { fence, attempt } = this.job(jobId);
    const held = { worker, jobId, fence: fence + 1n, attempt: attempt + 1, maxAttempts: MAX_ATTEMPTS, ttlMs: TTL_MS };
    if (happens(course)) {
      this.happen(jobId, { type: 'claimed', state: 'LEASED', fence: held.fence, attempt: held.attempt, worker });
      this.happen(jobId, { type: 'started', state: 'RUNNING', worker });
    }
    this.sayClaimed(held, course);
    return held;
  }

  /** The answer alone. */
  sayClaimed({ worker, ...job }: Held, course: Course & { readonly requestId?: string } = {}): void {
    this.#requests += 1;
    const { requestId = `request-${this.#requests}` } = course;
    this.#said.push({ op: 'claim', worker, queues: ['q'], requestId, maxJobs: 1, ...this.#course(course, { jobs: [job] }) });
  }

  heartbeat({ worker, jobId, fence }: Held, course: Course = {}): void {
    this.#said.push({ op: 'heartbeat', worker, jobId, fence, ...this.#course(course, { ttlMs: TTL_MS }) });
  }

  settle(op: SettlementOp, held: Held, course: Course = {}): void {
    // What was given back was not spent.
    const attempt = op === 'release' ? held.attempt - 1 : held.attempt;
    if (happens(course)) this.happen(held.jobId, { ...endings[op], attempt, worker: held.worker });
    this.saySettled(op, held, 'APPLIED', course);
  }

  /** The answer alone. */
  saySettled(op: SettlementOp, { worker, jobId, fence }: Held, effect: SettleTold['effect'], course: Course = {}): void {
    this.#said.push({ op, worker, jobId, fence, ...this.#course(course, { effect, state: endings[op].state }) });
  }

  /** The lease was not renewed: the attempt ends by itself, and the job is due again. */
  lapse({ worker, jobId }: Held): void {
    this.happen(jobId, { type: 'retry_scheduled', state: 'RETRY_WAIT', worker, failureCode: 'stint.lease_expired' });
    this.happen(jobId, { type: 'ready', state: 'READY' });
  }

  await(jobId: string, state: string, course: Course = {}): void {
    this.#said.push({ op: 'await', jobId, ...this.#course(course, { state, life: 1 }) });
  }

  /** The next event of a job; what is not told stays as it was. */
  happen(jobId: string, event: Partial<EventRecord> & Pick<EventRecord, 'type' | 'state'>): void {
    const job = this.#jobs.get(jobId);
    if (job === undefined) throw new Error(`the story has no job ${jobId}`);
    const { life, attempt, fence, lastSequence } = job.line;
    const sequence = lastSequence + 1;
    const full = { jobId, sequence, life, attempt, fence, worker: '', failureCode: '', whole: `${jobId} ${sequence}`, ...event };
    job.events.push(full);
    this.#log.push(full);
    Object.assign(job.line, { state: full.state, life: full.life, attempt: full.attempt, fence: full.fence, lastSequence: sequence });
  }

  job(jobId: string): FinalJobLine {
    const job = this.#jobs.get(jobId);
    if (job === undefined) throw new Error(`the story has no job ${jobId}`);
    return job.line;
  }

  /** All of it, with one subscriber that was given everything, and what the service told at the end. */
  history(): HistoryLine[] {
    const jobs = [...this.#jobs.values()];
    const about = { subscriber: 's', stream: 1 };
    return [
      ...this.#said,
      { op: 'stream', ...about, replica: 'r', resumed: false },
      ...this.#log.map((event): HistoryLine => ({ op: 'events', ...about, events: [event] })),
      ...jobs.map(({ line }) => ({ ...line })),
      ...jobs.map(({ line: { jobId }, events }): HistoryLine => ({ op: 'final_events', jobId, events: [...events] })),
      { op: 'final_end', jobs: jobs.length, subscribers: ['s'] },
    ];
  }

  #course<Told>(course: Course, told: Told): Ended<Told> & Pick<EnqueueAsk, 'process' | 'replica' | 'sentAtMs'> {
    const { sentAtMs = this.nowMs + 1, endedAtMs = sentAtMs + 1, outcome = 'ok' } = course;
    this.nowMs = Math.max(this.nowMs, endedAtMs ?? sentAtMs);
    const call = { process: 'c', replica: 'r', sentAtMs };
    if (outcome === 'unknown') return { ...call, outcome, endedAtMs, reason: 'UNAVAILABLE' };
    const answeredMs = endedAtMs ?? sentAtMs;
    return outcome === 'ok'
      ? { ...call, outcome, endedAtMs: answeredMs, told }
      : { ...call, outcome, endedAtMs: answeredMs, reason: 'LEASE_LOST' };
  }
}

const endings: Readonly<Record<SettlementOp, { readonly type: string; readonly state: string }>> = {
  ack: { type: 'succeeded', state: 'SUCCEEDED' },
  fail: { type: 'retry_scheduled', state: 'RETRY_WAIT' },
  release: { type: 'released', state: 'READY' },
};

function happens({ outcome, happened = outcome !== 'refused' }: Course): boolean {
  return happened;
}
