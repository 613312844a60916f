import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { arch, availableParallelism, cpus, loadavg, platform, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { quantile } from './statistics.ts';

/** What the figures depend on. */
export interface Machine {
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGiB: number;
  readonly platform: string;
  readonly node: string;
  /** Before the bench began: on a machine that does other work too, figures mean little. */
  readonly loadAverage: number;
  /** Median of a small write and its flush to the disk of the temporary folder: what a commit waits for. */
  readonly flushMs: number;
}

const FLUSHES = 100;
const PAGE_BYTES = 8_192;

export function describeMachine(): Machine {
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? 'unknown',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${platform()} ${arch()}`,
    node: process.version,
    loadAverage: loadavg()[0] ?? Number.NaN,
    flushMs: measureFlush(),
  };
}

function measureFlush(): number {
  const folder = mkdtempSync(join(tmpdir(), 'stint-bench-flush-'));
  const file = openSync(join(folder, 'page'), 'w');
  try {
    const page = Buffer.alloc(PAGE_BYTES, 1);
    const times = Array.from({ length: FLUSHES }, () => {
      const startedAt = performance.now();
      writeSync(file, page, 0, PAGE_BYTES, 0);
      fdatasyncSync(file);
      return performance.now() - startedAt;
    });
    return quantile(
      times.toSorted((a, b) => a - b),
      0.5,
    );
  } finally {
    closeSync(file);
    rmSync(folder, { recursive: true, force: true });
  }
}
