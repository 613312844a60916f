import { JobIdMint } from '../../../src/engine/jobs/mint-job-id.ts';
import { enqueue, enqueueBatch, randomContent, type Wish } from './enqueue.ts';
import { type Program, rest, runProgram, untilAllKnown, untilKnown } from './program.ts';

const mint = new JobIdMint();
const LANES = 3;
const BATCH = 3;
/** Now and then so many that workers find a backlog, in which order shows. */
const LARGE_BATCH = 30;

/** One lane's way to enqueue: each turn another. */
type Turn = (program: Program, lane: Lane) => Promise<void>;

/** Makes the jobs of a lane, and remembers the last that can be named again. */
class Lane {
  readonly #program: Program;
  readonly #name: string;
  #count = 0;
  #batches = 0;
  /** The latest with an id or a key, whose enqueue was answered. */
  named: Wish | null = null;

  constructor(program: Program, number: number) {
    this.#program = program;
    this.#name = `${program.settings.name}-${number}`;
  }

  /** Neither id nor key: not to be tried twice. */
  plain(): Wish {
    this.#count += 1;
    const { queues } = this.#program.settings;
    return {
      mark: `${this.#name}-${this.#count}`,
      queue: queues[this.#count % queues.length] ?? '',
      priority: this.#count % 7 === 0 ? 5 : 0,
      jobId: null,
      key: null,
      content: randomContent(),
      delayMs: this.#count % 13 === 0 ? 300 : 0,
      // Now and then one that few failures end.
      maxAttempts: this.#count % 11 === 0 ? 2 : 50,
    };
  }

  minted(): Wish {
    return { ...this.plain(), jobId: mint.mint() };
  }

  keyed(): Wish {
    const wish = this.plain();
    return { ...wish, key: `key of ${wish.mark}` };
  }

  batch(): Wish[] {
    this.#batches += 1;
    const length = this.#batches % 3 === 1 ? LARGE_BATCH : BATCH;
    return Array.from({ length }, (_, at) => (at % 2 === 0 ? this.minted() : this.keyed()));
  }
}

const one: Turn = async (program, lane) => {
  const wish = lane.minted();
  await untilKnown(() => enqueue(program, wish));
  lane.named = wish;
};

const byKey: Turn = async (program, lane) => {
  const wish = lane.keyed();
  await untilKnown(() => enqueue(program, wish));
  lane.named = wish;
};

/** An unknown outcome stays unknown: a second try could make a second job. */
const blind: Turn = async (program, lane) => {
  await enqueue(program, lane.plain());
};

const batch: Turn = async (program, lane) => {
  const wishes = lane.batch();
  await untilAllKnown(() => enqueueBatch(program, wishes));
};

const again: Turn = async (program, { named }) => {
  if (named !== null) await untilKnown(() => enqueue(program, named));
};

/** The id or key of another job with another content: to be refused. */
const conflicting: Turn = async (program, lane) => {
  if (lane.named === null) return;
  const { jobId, key, queue } = lane.named;
  const wish = { ...lane.plain(), jobId, key, queue };
  await untilKnown(() => enqueue(program, wish));
};

const turns: readonly Turn[] = [one, blind, byKey, batch, again, one, byKey, conflicting];

async function produce(program: Program): Promise<void> {
  const lanes = Array.from({ length: LANES }, async (_, number) => {
    const lane = new Lane(program, number);
    for (let turn = number; !program.leaving.aborted; turn += 1) {
      await turns[turn % turns.length]?.(program, lane);
      await rest(program.settings.pauseMs, program.leaving);
    }
  });
  await Promise.all(lanes);
}

void runProgram(produce);
