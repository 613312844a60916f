import { SharedMessages } from '../../../src/engine/events/shared-messages.ts';
import type { HistoryQuery } from '../../../src/engine/ports/events.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Delivery, Scope, Subscribe } from '../../../src/engine/engine.ts';
import { followJob } from '../../../src/engine/events/follow-job.ts';
import { followLog } from '../../../src/engine/events/subscribe.ts';
import { ProgressBoard } from '../../../src/engine/progress/progress-board.ts';
import { event } from '../../feed/memory-journal.ts';
import { JobHistory } from '../events/job-history.ts';
import { ScriptedLog } from '../events/scripted-reader.ts';
import { jobId, told } from './told.ts';

const JOB = jobId(1);

function query(scope: Scope): Subscribe {
  return { namespace: 'n', scope, types: [], start: { kind: 'from_beginning' }, includeProgress: true };
}

describe('a subscription with progress', () => {
  let board: ProgressBoard;
  let left: AbortController;
  let stream: AsyncGenerator<Delivery>;
  beforeEach(() => {
    [board, left] = [new ProgressBoard(), new AbortController()];
  });
  afterEach(async () => {
    left.abort();
    await stream.return(undefined);
    expect(board.isIdle).toBe(true);
  });

  async function next(): Promise<Delivery> {
    const { value, done } = await stream.next();
    if (done === true) throw new Error('the stream has ended');
    return value;
  }

  const jobsOf = ({ progress = [] }: Delivery) => progress.map((one) => one.jobId);

  describe('to the log', () => {
    let log: ScriptedLog;
    beforeEach(async () => {
      log = new ScriptedLog();
      stream = followLog(
        { log, board, shared: new SharedMessages(), draining: new AbortController().signal },
        query({ kind: 'everything' }),
        left.signal,
      );
      await next();
    });

    it('tells progress as it comes, with the cursor of what was told, and events between', async () => {
      const upcoming = next();
      board.tell([told(1)]);
      const first = await upcoming;
      expect(first).toMatchObject({ events: [], progress: [told(1)], reconnect: null });
      log.tell(event(2));
      const second = await next();
      expect(second.events).toHaveLength(1);
      expect(second.cursor).not.toBe(first.cursor);
      board.tell([told(2)]);
      expect(await next()).toMatchObject({ events: [], progress: [told(2)], cursor: second.cursor });
    });

    it('misses no event for progress, nor progress for events, however many come at once', async () => {
      for (let round = 0; round < 20; round += 1) {
        const upcoming = next();
        if (round % 2 === 0) board.tell([told(round)]);
        log.tell(event(100 + round));
        if (round % 2 === 1) board.tell([told(round)]);
        const deliveries = [await upcoming, await next()];
        expect(deliveries.flatMap(({ events }) => events.map((one) => one.jobId))).toEqual([event(100 + round).jobId]);
        expect(deliveries.flatMap(jobsOf)).toEqual([jobId(round)]);
      }
    });

    it('of a reader that stands still keeps the newest of a thousand jobs, and every event', async () => {
      const jobs = Array.from({ length: 3_000 }, (_, index) => index);
      for (const at of [1, 2, 3]) board.tell(jobs.map((job) => told(job, at)));
      for (const job of [1, 2, 3]) log.tell(event(job));
      const deliveries: Delivery[] = [];
      while (deliveries.flatMap(({ events }) => events).length < 3 || deliveries.flatMap(jobsOf).length < 1_000)
        deliveries.push(await next());
      expect(deliveries.flatMap(({ progress = [] }) => progress)).toEqual(jobs.slice(-1_000).map((job) => told(job, 3)));
      expect(Math.max(...deliveries.map(({ progress = [] }) => progress.length))).toBe(256);
      board.tell([told(7, 4)]);
      expect(await next()).toMatchObject({ progress: [told(7, 4)] });
    });
  });

  describe('to a job', () => {
    let job: JobHistory;
    let reads: number;
    beforeEach(async () => {
      job = new JobHistory();
      reads = 0;
      const history: JobHistory['history'] = (...asked) => {
        reads += 1;
        return job.history(...asked);
      };
      job.append();
      const histories = { submit: ({ jobId, after }: HistoryQuery) => history(jobId, after, 8) };
      const parts = { log: job, board, repository: { history }, histories, draining: new AbortController().signal };
      stream = followJob(parts, query({ kind: 'job', jobId: JOB }), JOB, left.signal);
      await next();
      await next();
    });

    it('reads nothing again for progress', async () => {
      const before = reads;
      for (const at of [1, 2, 3]) {
        const upcoming = next();
        board.tell([told(1, at), told(2, at)]);
        expect(await upcoming).toMatchObject({ events: [], progress: [told(1, at)] });
      }
      expect(reads).toBe(before);
    });

    it('misses no event that comes in the moment of progress', async () => {
      for (let round = 1; round <= 20; round += 1) {
        const upcoming = next();
        job.append();
        if (round % 2 === 0) job.hint();
        board.tell([told(1, round)]);
        if (round % 2 === 1) job.hint();
        const deliveries = [await upcoming, await next()];
        expect(deliveries.flatMap(({ events }) => events.map(({ sequence }) => sequence))).toEqual([round + 1]);
        expect(deliveries.flatMap(({ progress = [] }) => progress)).toEqual([told(1, round)]);
      }
    });
  });
});
