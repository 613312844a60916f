import { figuresOf } from './figures.ts';
import type { RunOutcome } from './run.ts';
import type { Verdict } from './verify.ts';

const faultsShown = 10;

export function printReport({ enqueued, ledger, resumes, loss }: RunOutcome, { faults, changed }: Verdict): void {
  const figures = figuresOf(
    ledger,
    enqueued.map(({ jobId }) => jobId),
  );
  const { p50, p99 } = figures.enqueueToStartMs;
  const lines: [string, string][] = [
    [
      'jobs',
      `${enqueued.length}, ${Math.round(figures.jobsPerSecond)}/s (${Math.round(figures.jobsPerSecondToTheLast)}/s to the very last)`,
    ],
    ['enqueue to start', `p50 ${Math.round(p50)} ms, p99 ${Math.round(p99)} ms`],
    ['retries', `${figures.retries}, of ${figures.retriedJobs} jobs`],
    ['killed', loss === null ? 'nothing: all had ended before' : `${loss.workerId}, which held ${loss.leases} leases`],
    ['event stream', `resumed from its cursor ${resumes} times, ${ledger.repeats} events came twice, none was missed`],
    ['results', `${enqueued.length - changed} equal to a direct SHA-256`],
  ];
  if (changed > 0) lines.push(['not compared', `${changed} files that changed during the run`]);
  const sound = faults.length === 0;
  for (const [name, value] of sound ? lines : lines.slice(0, 4)) console.log(`${name.padEnd(17)} ${value}`);
  if (sound) return;
  console.error(`${faults.length} of ${enqueued.length} jobs are not as they must be:`);
  for (const fault of faults.slice(0, faultsShown)) console.error(`  ${fault}`);
  if (faults.length > faultsShown) console.error(`  and ${faults.length - faultsShown} more`);
}
