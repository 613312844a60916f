// What an idle service costs beside a large backlog: CPU of the service and of its Postgres, in per cent of one core.
//
//   npm run idle -- [--jobs 1000000] [--seconds 60]
import { parseArgs } from 'node:util';
import { setTimeout as pause } from 'node:timers/promises';
import type { Sql } from 'postgres';
import { cpuSecondsOf } from '../cpu.ts';
import { alone, type Alone } from './alone.ts';

const { values } = parseArgs({ options: { jobs: { type: 'string', default: '1000000' }, seconds: { type: 'string', default: '60' } } });
const [jobs, seconds] = [Number(values.jobs), Number(values.seconds)];
/** Autovacuum finishes with what was filled in. */
const SETTLE_MS = 20_000;

await alone(measure);

async function measure({ replica, sql }: Alone): Promise<void> {
  await fill(sql);
  await pause(SETTLE_MS);
  const postmaster = await postmasterOf(sql);
  const before = { service: cpuSecondsOf(replica.pid), postgres: cpuSecondsOf(postmaster) };
  await pause(seconds * 1_000);
  const service = cpuSecondsOf(replica.pid) - before.service;
  const database = cpuSecondsOf(postmaster) - before.postgres;
  const percent = (cpuSeconds: number) => Number(((cpuSeconds / seconds) * 100).toFixed(2));
  console.log(
    JSON.stringify({ jobs, seconds, service: percent(service), postgres: percent(database), together: percent(service + database) }),
  );
}

/** Scheduled jobs that are due in a year, a tenth of them with a timeout. */
async function fill(sql: Sql): Promise<void> {
  await sql`insert into stint.queue (shard, namespace, name) values (0, 'default', 'idle')`;
  await sql`
    insert into stint.deferred (shard, job, due_at, kind, queue_id, rank, attempt, fence, life, seq, releases, size, checkpointed, life_until)
    select 0, gen_random_uuid(), now() + interval '1 year' + g * interval '1 second', 1, q.id, 0, 0, 0, 1, 1, 0, 600, false,
           case when g % 10 = 0 then now() + interval '2 years' end
      from generate_series(1, ${jobs}::int) g, stint.queue q where q.name = 'idle'`;
  await sql`vacuum analyze stint.deferred`;
}

/** The process that all sessions of the server are below. */
async function postmasterOf(sql: Sql): Promise<number> {
  const [row] = await sql<{ pidfile: string }[]>`select pg_read_file('postmaster.pid') as pidfile`;
  return Number(row?.pidfile.split('\n')[0]);
}
