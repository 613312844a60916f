import { readdirSync, readFileSync } from 'node:fs';

/** What `/proc/<pid>/stat` counts in, whatever the kernel's own clock: USER_HZ of proc(5). */
const TICKS_PER_SECOND = 100;

interface ProcessTimes {
  readonly parent: number;
  /** Of the process and of its children that have ended. */
  readonly ticks: number;
}

/** CPU seconds that a process and all below it have used so far; NaN on a system without `/proc`. */
export function cpuSecondsOf(pid: number): number {
  const processes = readProcesses();
  if (!processes.has(pid)) return Number.NaN;
  let ticks = 0;
  for (const [candidate, times] of processes) if (isBelow(processes, candidate, pid)) ticks += times.ticks;
  return ticks / TICKS_PER_SECOND;
}

function isBelow(processes: ReadonlyMap<number, ProcessTimes>, candidate: number, ancestor: number): boolean {
  for (let pid: number | undefined = candidate; pid !== undefined; pid = processes.get(pid)?.parent) if (pid === ancestor) return true;
  return false;
}

function readProcesses(): ReadonlyMap<number, ProcessTimes> {
  const processes = new Map<number, ProcessTimes>();
  for (const name of namesIn('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const times = readTimes(name);
    if (times !== null) processes.set(Number(name), times);
  }
  return processes;
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Null for a process that has ended meanwhile. */
function readTimes(pid: string): ProcessTimes | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in brackets, may hold anything: the fields are counted from behind it.
    const [, parent, ...fields] = text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    // utime, stime, cutime, cstime: fields 14 to 17 of proc(5).
    return { parent: parent ?? 0, ticks: fields.slice(9, 13).reduce((sum, ticks) => sum + ticks, 0) };
  } catch {
    return null;
  }
}
