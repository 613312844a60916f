import { setTimeout as pause } from 'node:timers/promises';
import postgres, { type Sql } from 'postgres';
import type { Loader } from './load-process.ts';
import type { Place } from './messages.ts';
import { PAYLOAD } from './payload.ts';
import { routeLoader } from './route-loader.ts';
import type { Route } from './route.ts';

/** Connections of a process, as told in bench/peers/settings.json; more callers wait for one. */
const CONNECTIONS = 10;
/** Before a claim looks again: two claims beside each other can take each other's jobs. */
const LOOK_AGAIN_MS = 2;

const data: { readonly [key: string]: string | number } = JSON.parse(PAYLOAD.toString('utf8'));

/** One table and three statements, as one writes them who has read what `skip locked` is for; the driver prepares them. */
function skipLockedRoute({ target, batch }: Place): Promise<Route> {
  const sql = open(target);
  return Promise.resolve({
    enqueue: batch === 1 ? () => insertOne(sql) : () => insertBatch(sql, batch),
    claim: async (waitMs) => {
      const until = performance.now() + waitMs;
      for (;;) {
        const ids = await claim(sql, batch);
        if (ids.length > 0 || performance.now() >= until) return ids;
        await pause(LOOK_AGAIN_MS);
      }
    },
    settle: async (ids) => {
      const { count } = await sql`delete from jobs where id = any(${[...ids]}::bigint[])`;
      if (count !== ids.length) throw new Error('a job was not there any more');
    },
    close: () => sql.end({ timeout: 5 }),
  });
}

const open = (target: string) => postgres(target, { max: CONNECTIONS, onnotice: () => undefined });

async function insertOne(sql: Sql): Promise<void> {
  await sql`insert into jobs (payload) values (${sql.json(data)})`;
}

async function insertBatch(sql: Sql, batch: number): Promise<void> {
  const payloads = sql.json(Array.from({ length: batch }, () => data));
  await sql`insert into jobs (payload) select value from jsonb_array_elements(${payloads})`;
}

async function claim(sql: Sql, batch: number): Promise<readonly string[]> {
  const rows = await sql`
    update jobs set state = 'running', locked_at = now()
    where id = any (array(
      select id from jobs where state = 'ready' and run_at <= now() order by run_at, id limit ${batch} for update skip locked))
    returning id, payload`;
  return rows.map(({ id }) => String(id));
}

async function beginAnew(sql: Sql): Promise<void> {
  await sql`drop table if exists jobs`;
  await sql`
    create table jobs (
      id bigint generated always as identity primary key,
      payload jsonb not null,
      state text not null default 'ready',
      run_at timestamptz not null default now(),
      locked_at timestamptz)`;
  await sql`create index on jobs (run_at, id) where state = 'ready'`;
}

export function skipLockedLoader(): Loader {
  const loader = routeLoader(skipLockedRoute);
  return {
    ...loader,
    layIn: async (request) => {
      const sql = open(request.target);
      await beginAnew(sql);
      await loader.layIn(request);
      // So that nobody is measured on what the planner knew of an empty table.
      await sql`analyze jobs`;
      await sql.end({ timeout: 5 });
    },
  };
}
