// A worker that works over `Work`, and whose streams are cut: the n-th after n messages, up to so many, and from the beginning.
import { randomUUID } from 'node:crypto';
import { credentials } from '@grpc/grpc-js';
import { durationOfMs } from '../../../examples/duration.ts';
import { WorkerServiceClient } from '../../../gen/stint/v1/worker_service.ts';
import type { HeartbeatTold, SettlementOp, SettleTold } from '../history/record.ts';
import { CutStream } from './cut-stream.ts';
import { effectOf, heldJob, type HeldJob, renewalOf, settleAlone, settlementOf } from './lease-calls.ts';
import { type Program, rest, runProgram, untilKnown } from './program.ts';
import { type ItemEnd, NO_ITEM } from './recorder.ts';
import { Road } from './road.ts';
import { BOUNDARIES, cutWays, type CutWay } from './settings.ts';

const LEASE_MS = 2_000;
const BEAT_MS = 300;
const WORK_MS = 10;
const CREDITS = 4;
/** Streamers begin so many turns after each other: together they are soon through all of them. */
const APART = Math.ceil((cutWays.length * BOUNDARIES) / 3);

/** A job in hand, and what is to become of it. */
interface InHand extends HeldJob {
  readonly op: SettlementOp;
  /** It is done; what remains is to say so, until an answer has come. */
  isDone: boolean;
}

/** What a worker has in hand; it outlives each of its streams. */
class Worker {
  readonly #program: Program;
  readonly #held = new Map<string, InHand>();
  #session: Session | null = null;
  #count = 0;

  constructor(program: Program) {
    this.#program = program;
  }

  async work(): Promise<void> {
    const { settings, leaving } = this.#program;
    for (let turn = settings.number * APART; !leaving.aborted; turn += 1) {
      const way = cutWays[turn % cutWays.length] ?? 'cancel';
      await this.#work(way, 1 + (Math.floor(turn / cutWays.length) % BOUNDARIES));
    }
    await Promise.all([...this.#held.values()].map((one) => untilKnown(() => settleAlone(this.#program, one.op, one))));
  }

  async #work(way: CutWay, after: number): Promise<void> {
    const session = await Session.open(this.#program, way, after);
    this.#session = session;
    const assigning = this.#take(session);
    const beat = () => void session.heartbeat([...this.#held.values()]);
    if (this.#held.size > 0) beat();
    void this.#settle([...this.#held.values()].filter(({ isDone }) => isDone));
    const beating = setInterval(beat, BEAT_MS);
    await session.over();
    clearInterval(beating);
    await assigning;
    session.close();
  }

  async #take(session: Session): Promise<void> {
    for (let jobs = await session.assigned(); jobs !== null; jobs = await session.assigned()) {
      for (const job of jobs) void this.#do(job);
    }
  }

  async #do(job: HeldJob): Promise<void> {
    this.#count += 1;
    const op = this.#count % 9 === 0 ? 'release' : this.#count % 7 === 0 ? 'fail' : 'ack';
    const one: InHand = { ...job, op, isDone: false };
    this.#held.set(job.token, one);
    await rest(WORK_MS, this.#program.leaving);
    one.isDone = true;
    await this.#settle([one]);
    // Less and more, while jobs are under way.
    this.#session?.setCredits(CREDITS - (this.#count % 3));
  }

  async #settle(done: readonly InHand[]): Promise<void> {
    if (done.length === 0 || this.#session === null) return;
    const ends = await this.#session.settle(done);
    done.forEach(({ token }, at) => {
      if (ends[at]?.outcome !== 'unknown') this.#held.delete(token);
    });
  }
}

/** One stream, over a road of its own. */
class Session {
  readonly #program: Program;
  readonly #replica: string;
  readonly #stream: CutStream;
  readonly #close: () => void;
  readonly #id = randomUUID();

  private constructor(program: Program, replica: string, open: { readonly stream: CutStream; readonly close: () => void }) {
    this.#program = program;
    this.#replica = replica;
    this.#stream = open.stream;
    this.#close = open.close;
  }

  static async open(program: Program, way: CutWay, after: number): Promise<Session> {
    const { settings, writer, leaving } = program;
    const { replica } = program.pool.next();
    const road = await Road.to(replica);
    const client = new WorkerServiceClient(road.address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
    const call = client.work();
    const cut = async (last: 'said' | 'heard') => {
      if (way.startsWith('late') && last === 'said') await road.carried();
      if (way.endsWith('cancel')) call.cancel();
      else road.break();
      writer.write({ op: 'cut', process: settings.name, way, after });
    };
    const stream = new CutStream(call, { after, cut: (last) => void cut(last) });
    const leave = () => stream.finish();
    leaving.addEventListener('abort', leave, { once: true });
    const close = () => {
      leaving.removeEventListener('abort', leave);
      client.close();
      road.close();
    };
    const { name: workerId, namespace, queues } = settings;
    const leaseDuration = durationOfMs(LEASE_MS);
    stream.say({ $case: 'open', open: { namespace, workerId, queues: [...queues], credits: CREDITS, leaseDuration } });
    if (leaving.aborted) leave();
    return new Session(program, replica, { stream, close });
  }

  async over(): Promise<void> {
    await this.#stream.over();
  }

  close(): void {
    this.#close();
  }

  setCredits(credits: number): void {
    this.#stream.say({ $case: 'credits', credits });
  }

  /** Null once no more can come. All of a stream count from its beginning, as the tries of one claim. */
  async assigned(): Promise<readonly HeldJob[] | null> {
    let jobs: readonly HeldJob[] | null = null;
    const { name: worker, queues } = this.#program.settings;
    const asks = [{ op: 'claim', worker, queues, requestId: this.#id, maxJobs: CREDITS } as const];
    await this.#program.recorder.record(asks, this.#replica, async () => {
      const said = await this.#stream.next('assigned');
      if (said === null) return [this.#stream.error === null ? { outcome: 'ok', told: { jobs: [] } } : this.#lost()];
      jobs = said.assigned.jobs.map(heldJob);
      return [{ outcome: 'ok', told: { jobs: jobs.map(({ token: _token, ...record }) => record) } }];
    });
    return jobs;
  }

  async settle(done: readonly InHand[]): Promise<readonly ItemEnd<SettleTold>[]> {
    const { settings, recorder } = this.#program;
    const asks = done.map(({ op, jobId, fence }) => ({ op, worker: settings.name, jobId, fence }));
    return await recorder.record(asks, this.#replica, async () => {
      const id = randomUUID();
      this.#stream.say({ $case: 'settle', settle: { id, settlements: done.map(({ op, token }) => settlementOf(op, token)) } });
      const said = await this.#stream.next('settled', ({ settled }) => settled.id === id);
      if (said === null) return asks.map(() => this.#lost());
      return said.settled.results.map(({ result }): ItemEnd<SettleTold> => {
        if (result === undefined) return NO_ITEM;
        return result.$case === 'error' ? recorder.judgeItem('Work', this.#replica, result.error) : effectOf(result);
      });
    });
  }

  async heartbeat(held: readonly HeldJob[]): Promise<void> {
    const asks = held.map(({ jobId, fence }) => ({ op: 'heartbeat' as const, worker: this.#program.settings.name, jobId, fence }));
    await this.#program.recorder.record(asks, this.#replica, async (): Promise<readonly ItemEnd<HeartbeatTold>[]> => {
      this.#stream.say({ $case: 'heartbeat', heartbeat: { heldTokens: held.map(({ token }) => token), leases: [] } });
      const said = await this.#stream.next('heartbeat');
      return said === null ? asks.map(() => this.#lost()) : said.heartbeat.results.map(renewalOf);
    });
  }

  #lost() {
    const { error, wasCut } = this.#stream;
    if (wasCut || error === null) return { outcome: 'unknown', reason: 'the stream was cut' } as const;
    return this.#program.recorder.judge('Work', this.#replica, error);
  }
}

void runProgram((program) => new Worker(program).work());
