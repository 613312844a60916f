import { AwaitTerminalRequest, type AwaitTerminalResponse } from '../../../gen/stint/v1/job_service.ts';
import { JobIdMint } from '../../../src/engine/jobs/mint-job-id.ts';
import type { AwaitTold } from '../history/record.ts';
import { enqueue, randomContent } from './enqueue.ts';
import { type Program, rest, runProgram, untilKnown } from './program.ts';
import { type ItemEnd, onlyOf } from './recorder.ts';
import { stateName } from './wire.ts';

const mint = new JobIdMint();
const LANES = 4;
/** Longer than any job of the load takes: an await that lasts so long has missed its wake-up. */
const DEADLINE_MS = 60_000;

/** Enqueues a job and awaits its end, each try on another replica, until it is told. */
async function enqueueAndAwait(program: Program, mark: string): Promise<void> {
  const { queues } = program.settings;
  const jobId = mint.mint();
  const wish = { mark, queue: queues[0] ?? '', priority: 1, jobId, key: null, content: randomContent(), delayMs: 0, maxAttempts: 50 };
  await untilKnown(() => enqueue(program, wish));
  await untilKnown(() => awaitOnce(program, jobId));
}

async function awaitOnce({ settings, pool, recorder }: Program, jobId: string): Promise<ItemEnd<AwaitTold>> {
  const { replica, jobs } = pool.next();
  const request = AwaitTerminalRequest.fromPartial({ namespace: settings.namespace, jobId });
  const ends = await recorder.record([{ op: 'await', jobId }], replica, async () => {
    try {
      const messages: AsyncIterable<AwaitTerminalResponse> = jobs.awaitTerminal(request, { deadline: Date.now() + DEADLINE_MS });
      return [await lastOf(messages)];
    } catch (error) {
      return [recorder.judge('AwaitTerminal', replica, error)];
    }
  });
  return onlyOf(ends);
}

async function lastOf(messages: AsyncIterable<AwaitTerminalResponse>): Promise<ItemEnd<AwaitTold>> {
  let last: AwaitTerminalResponse | null = null;
  for await (const message of messages) last = message;
  if (last?.job === undefined || !last.terminal) return { outcome: 'unknown', reason: 'OK before the end of the job' };
  return { outcome: 'ok', told: { state: stateName(last.job.state), life: last.job.life } };
}

async function awaitJobs(program: Program): Promise<void> {
  const { name, pauseMs } = program.settings;
  const lanes = Array.from({ length: LANES }, async (_, lane) => {
    for (let count = 1; !program.leaving.aborted; count += 1) {
      await enqueueAndAwait(program, `${name}-${lane}-${count}`);
      await rest(pauseMs, program.leaving);
    }
  });
  await Promise.all(lanes);
}

void runProgram(awaitJobs);
