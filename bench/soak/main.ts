// Hours in minutes: two replicas under everything at once, and what they hold meanwhile. Ends with 1 where a promise was
// broken; what a slope means is for people.
//
//   npm run soak [-- --minutes 10]
import { writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { checkHistory } from '../../test/support/history/check.ts';
import { Load } from '../../test/support/load/load.ts';
import { describeMachine } from '../machine.ts';
import { idleLevels, printIdle } from './idle.ts';
import { LagProbe } from './lag.ts';
import { parseOptions, type SoakOptions, USAGE } from './options.ts';
import { Sampler } from './sample.ts';
import { violationsIn } from './soundness.ts';
import { setStage, type Stage } from './stage.ts';
import { bulk, haltingReaders, NAMESPACES, vanishing } from './traffic.ts';
import { printTrends, trendsOf } from './trends.ts';

const MINUTE_MS = 60_000;
/** Often enough for a trend of a short run, seldom enough not to be a load of its own: each look collects garbage. */
const SAMPLE_EVERY_MS = 3_000;
/** Findings that are printed; the count tells of the others. */
const SHOWN = 20;

const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interrupted.abort());

const options = parseOptions(process.argv.slice(2));
if (options === null) {
  console.error(USAGE);
  process.exit(2);
}
await soak(options);

async function soak(options: SoakOptions): Promise<void> {
  const machine = describeMachine();
  console.error(`soak: ${JSON.stringify(machine)}`);
  const stage = await setStage();
  try {
    const before = await idleLevels(stage);
    const { samples, calls, findings } = await run(stage, options);
    const idle = { before, after: await idleLevels(stage) };
    const trends = trendsOf(samples);
    printTrends(trends);
    printIdle(idle);
    for (const finding of findings.slice(0, SHOWN)) console.log(finding);
    const summary = { machine, minutes: options.minutes, samples: samples.length, ...calls, findings: findings.length, trends, idle };
    if (options.jsonFile !== null) writeFileSync(options.jsonFile, `${JSON.stringify({ ...summary, samples, findings }, null, 2)}\n`);
    console.log(JSON.stringify(summary));
    if (findings.length > 0) process.exitCode = 1;
  } finally {
    await stage.stop();
  }
}

async function run(stage: Stage, { minutes, pauseMs }: SoakOptions) {
  const [here, there] = [stage.replicas[0].address, stage.replicas[1].address];
  const addresses = [here, there];
  const load = await Load.start({ addresses, pauseMs });
  const lag = new LagProbe(here, there);
  const sampler = new Sampler(stage, lag);
  const ending = new AbortController();
  try {
    const works = [bulk(here, there, ending.signal), bulk(there, here, ending.signal)];
    const [gone, readers] = [vanishing(addresses, ending.signal), haltingReaders(addresses, ending.signal)];
    const all = Promise.all([...works, gone, readers]);
    await Promise.race([all, sampleFor(sampler, minutes * MINUTE_MS)]);
    ending.abort();
    await all;
    const history = await load.drain();
    const findings = [
      ...checkHistory(history).map(({ kind, detail }) => `${kind}: ${detail}`),
      ...(await violationsIn(here, NAMESPACES)),
      ...((await readers) === 0 ? [] : [`gap: ${await readers} events came out of turn to readers that had stopped`]),
    ];
    return { samples: sampler.samples, findings, calls: { vanished: await gone, recorded: history.length } };
  } finally {
    ending.abort();
    lag.close();
    await load.end();
  }
}

/** Until the time is over or somebody has enough of it. */
async function sampleFor(sampler: Sampler, milliseconds: number): Promise<void> {
  const endsAt = performance.now() + milliseconds;
  while (performance.now() < endsAt && !interrupted.signal.aborted) {
    const { atMs, figures } = await sampler.take();
    console.error(
      `soak: ${Math.round(atMs / 1_000)} s, heap ${figures['1 heap MiB']?.toFixed(1)} and ${figures['2 heap MiB']?.toFixed(1)} MiB`,
    );
    await pause(SAMPLE_EVERY_MS, undefined, { signal: interrupted.signal }).catch(() => undefined);
  }
}
