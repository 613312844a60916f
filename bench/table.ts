import type { Figures, Outcome } from './figures.ts';
import { isCost } from './reaches.ts';
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

/** Medians over the rounds; the middle columns are CPU seconds for 1,000 jobs. Markdown that can be read as it is. */
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
  const busy = figures.some(({ busiestClient }) => busiestClient.median > BUSY_CLIENT);
  return markdown(COLUMNS, rows) + (busy ? '\n\n* a load process was at its limit: what it loads could do more' : '');
}

const REACH_COLUMNS = ['', 'ratio (min–max)', 'by CPU of service and Postgres', 'wanted', 'aim', ''];

/** Medians over the rounds of what was held against something. */
export function reachTable(outcomes: readonly Outcome[]): string {
  const rows = outcomes.map((outcome) => {
    const { ratio, ratioByCpu, wanted, aim, verdict } = outcome;
    const bound = isCost(outcome) ? '≤' : '≥';
    return [
      titleOf(outcome),
      range(ratio, 2),
      ratioByCpu === null ? '-' : range(ratioByCpu, 2),
      `${bound} ${wanted}`,
      `${bound} ${aim}`,
      verdict,
    ];
  });
  return markdown(REACH_COLUMNS, rows);
}

/** What is held against what. */
export function titleOf({ cell, of, against, figure }: Pick<Outcome, 'cell' | 'of' | 'against' | 'figure'>): string {
  return `${cell}${figure === 'rate' ? '' : ` ${figure}`}: ${of} / ${against}`;
}

export function markdown(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = titles.map((title, column) => Math.max(3, title.length, ...rows.map((row) => (row[column] ?? '').length)));
  const line = (cells: readonly string[]) => `| ${cells.map((text, column) => text.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  return [line(titles), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

export function range({ median, min, max }: Spread, digits: number): string {
  return `${fixed(median, digits)} (${fixed(min, digits)}–${fixed(max, digits)})`;
}

export function fixed(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : '-';
}
