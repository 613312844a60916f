import { lowestLevel } from '../../test/leaks/level.ts';
import type { Level } from '../../test/support/measured-service.ts';
import type { Stage } from './stage.ts';

const MIB = 1024 * 1024;

/** What each replica holds while nobody calls. */
export async function idleLevels({ replicas }: Stage): Promise<Level[]> {
  return await Promise.all(replicas.map(lowestLevel));
}

/** For people. Before the load nothing is compiled, and no pool is open. */
export function printIdle({ before, after }: { readonly before: readonly Level[]; readonly after: readonly Level[] }): void {
  const rows = (when: string, levels: readonly Level[]) =>
    levels.map(({ heapBytes, externalBytes, rssBytes, handles }, at) => [
      `${at + 1} ${when}`,
      {
        'heap MiB': (heapBytes / MIB).toFixed(1),
        'buffers MiB': (externalBytes / MIB).toFixed(1),
        'RSS MiB': (rssBytes / MIB).toFixed(1),
        sockets: handles['TCPSocketWrap'] ?? 0,
        timers: handles['Timeout'] ?? 0,
      },
    ]);
  console.table(Object.fromEntries([...rows('idle before', before), ...rows('idle after', after)]));
}
