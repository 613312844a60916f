// One job per file below a folder, hashed by four worker processes, one of which dies half way; then everything is checked.
//
//   npm run demo [-- DIR]
import { credentials } from '@grpc/grpc-js';
import { EventServiceClient } from '../../gen/stint/v1/event_service.ts';
import { JobServiceClient } from '../../gen/stint/v1/job_service.ts';
import { type DemoArguments, DemoProblem, parseArguments } from './arguments.ts';
import { listFiles } from './files.ts';
import { printReport } from './report.ts';
import { runJobs } from './run.ts';
import { reachService } from './service.ts';
import { verify } from './verify.ts';

const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interrupted.abort());

try {
  const sound = await demo(parseArguments(process.argv.slice(2), process.env['STINT_LISTEN']));
  process.exitCode = sound ? 0 : 1;
} catch (error) {
  if (interrupted.signal.aborted) console.error('demo: interrupted');
  else console.error(error instanceof DemoProblem ? `demo: ${error.message}` : error);
  process.exitCode = 1;
}

async function demo({ folder, address }: DemoArguments): Promise<boolean> {
  const files = listFiles(folder);
  const service = await reachService(address);
  const jobs = new JobServiceClient(address, credentials.createInsecure());
  const events = new EventServiceClient(address, credentials.createInsecure());
  const queue = `demo-${Date.now()}`;
  console.log(`service at ${address} ${service.startedHere ? 'started for this run' : 'was running and will run on'}`);
  console.log(`${files.length} files below ${folder}, a job each, in queue ${queue}`);
  try {
    const outcome = await runJobs({ jobs, events, address, queue, files, signal: interrupted.signal });
    const verdict = await verify({ jobs, events, outcome, signal: interrupted.signal });
    printReport(outcome, verdict);
    return verdict.faults.length === 0;
  } finally {
    jobs.close();
    events.close();
    await service.stop();
  }
}
