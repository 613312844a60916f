import type { Finding } from './finding.ts';
import { endsLife, grouped, type HistoryIndex, isOk, isTerminal } from './history-index.ts';
import type { AwaitCall } from './record.ts';

/** I13: whoever awaits the end of a job is told it, and as it was. */
export function checkAwaits(index: HistoryIndex): Finding[] {
  const awaits = grouped(index.awaits, ({ process, jobId }) => `${process} ${jobId}`);
  return [...[...awaits.values()].flatMap((tries) => asleep(index, tries)), ...wrongEnds(index)];
}

/** An await is tried again until it is told; only a process that died may have ended in one. */
function asleep({ jobs }: HistoryIndex, tries: readonly AwaitCall[]): Finding[] {
  const [first] = tries;
  const died = tries.some(({ endedAtMs }) => endedAtMs === null);
  if (first === undefined || died || tries.some(isOk) || !isTerminal(jobs.get(first.jobId)?.state ?? '')) return [];
  return [{ kind: 'asleep', detail: `${first.process} was never told the end of job ${first.jobId}` }];
}

function wrongEnds({ awaits, events }: HistoryIndex): Finding[] {
  return awaits.filter(isOk).flatMap(({ process, jobId, told }): Finding[] => {
    const end = events.get(jobId)?.find((event) => endsLife(event) && event.life === told.life);
    if (end?.state === told.state) return [];
    return [
      {
        kind: 'invented',
        detail: `${process} was told that job ${jobId} is ${told.state}; its events say ${end?.state ?? 'that it goes on'}`,
      },
    ];
  });
}
