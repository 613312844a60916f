import { z } from 'zod';

const profileSchema = z.object({
  nodes: z.array(
    z.object({
      id: z.number(),
      callFrame: z.object({ functionName: z.string(), url: z.string() }),
      children: z.array(z.number()).optional(),
    }),
  ),
  /** Of each sample the node that it was in, and the µs since the one before. */
  samples: z.array(z.number()),
  timeDeltas: z.array(z.number()),
});

type Profile = z.infer<typeof profileSchema>;

/** As `node --cpu-prof` writes it. */
export function parseProfile(text: string): Profile {
  return profileSchema.parse(JSON.parse(text));
}

/** 0 to 1: of the time in which the thread was at work, what it spent in files of such a URL and in whatever those called. */
export function shareOf({ nodes, samples, timeDeltas }: Profile, url: RegExp): number {
  const within = new Set<number>();
  const idle = new Set<number>();
  // A node comes before its children.
  for (const { id, callFrame, children = [] } of nodes) {
    if (callFrame.functionName === '(idle)') idle.add(id);
    if (url.test(callFrame.url)) within.add(id);
    if (within.has(id)) for (const child of children) within.add(child);
  }
  const micros = { within: 0, busy: 0 };
  for (const [index, node] of samples.entries()) {
    const spent = timeDeltas[index] ?? 0;
    if (!idle.has(node)) micros.busy += spent;
    if (within.has(node)) micros.within += spent;
  }
  return micros.within / micros.busy;
}
