import type { Figures, Outcome } from './figures.ts';
import type { Spread } from './statistics.ts';

/** A load process above this share of a core may be what limits: such a rate is marked. */
const BUSY_CLIENT = 0.9;

const COLUMNS = [
  'cell',
  'variant',
  'jobs/s (min–max)',
  'p50 ms',
  'p95 ms',
  'p99 ms',
  'client',
  'server',
  'postgres',
  'jobs/server s',
  'WAL B/job',
  'jobs/write',
];

/** Medians over the rounds; the middle columns are CPU seconds for 1,000 jobs. */
export function tableOf(figures: readonly Figures[]): string {
  const rows = figures.map(
    ({ cell, variant, jobsPerSecond, turnMs, cpuPer1000, jobsPerServerCpuSecond, walBytesPerJob, jobsPerWrite, busiestClient }) => [
      cell,
      variant,
      `${range(jobsPerSecond, 0)}${busiestClient.median > BUSY_CLIENT ? ' *' : ''}`,
      fixed(turnMs.p50.median, 2),
      fixed(turnMs.p95.median, 2),
      fixed(turnMs.p99.median, 2),
      fixed(cpuPer1000.client.median, 3),
      fixed(cpuPer1000.server.median, 3),
      fixed(cpuPer1000.postgres.median, 3),
      fixed(jobsPerServerCpuSecond.median, 0),
      fixed(walBytesPerJob.median, 0),
      fixed(jobsPerWrite.median, 1),
    ],
  );
  const widths = COLUMNS.map((title, column) => Math.max(...[title, ...rows.map((row) => row[column] ?? '')].map(({ length }) => length)));
  const line = (cells: readonly string[]) =>
    cells.map((text, column) => (column < 2 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0))).join('  ');
  const busy = figures.some(({ busiestClient }) => busiestClient.median > BUSY_CLIENT);
  const notes = busy ? ['* a client was at its limit: the service could do more'] : [];
  return [line(COLUMNS), ...rows.map(line), ...notes].join('\n');
}

export function reachLines(outcomes: readonly Outcome[]): string {
  const lines = outcomes.map(({ cell, of, against, ratio, ratioByCpu, wanted, aim, verdict }) => {
    const figures = `${range(ratio, 2)}, by CPU of service and Postgres ${range(ratioByCpu, 2)}`;
    return `${cell}: ${of} / ${against} = ${figures}; wanted ${wanted}, aim ${aim}: ${verdict}`;
  });
  return lines.join('\n');
}

function range({ median, min, max }: Spread, digits: number): string {
  return `${fixed(median, digits)} (${fixed(min, digits)}–${fixed(max, digits)})`;
}

function fixed(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : '-';
}
