/**
 * How a statement moved tokens, as its journal row tells it: of these numbers the tallies of the queues are made (ADR 17). One row of
 * thirteen for each queue: its number; by how much its tokens grew in each state, in the order of `STATES`; lives that began, claims,
 * lives that ended, attempts that failed; and by how much its dead letters grew that are not replayed.
 */
import { sql, type SQL } from 'drizzle-orm';

/** In the order in which the numbers stand, here and in `queue_tally`. */
const STATES = {
  SCHEDULED: sql`'SCHEDULED'`,
  BLOCKED: sql`'BLOCKED'`,
  READY: sql`'READY'`,
  LEASED: sql`'LEASED'`,
  RUNNING: sql`'RUNNING'`,
  RETRY_WAIT: sql`'RETRY_WAIT'`,
  SUSPENDED: sql`'SUSPENDED'`,
} as const;

type TokenState = keyof typeof STATES;

const number = (condition: SQL) => sql`(count(*) filter (where ${condition}))::int`;

const growth = (state: SQL) => sql`sum((t.becomes is not distinct from ${state})::int - (t.was is not distinct from ${state})::int)::int`;

export interface MovesOptions {
  /** Whether an attempt failed: a condition on a row `t` of `moved`. Default: none did. */
  readonly failed?: SQL;
  /** By how much the dead letters grew that are not replayed: a number of a row `t` of `moved`. Default: 0. */
  readonly dead?: SQL;
  /** The only states that are left or entered: a statement of the hot path does not look for the others. Default: any. */
  readonly among?: readonly TokenState[];
}

/**
 * The value of `journal.moves`. `moved` is what `counted` takes, of just the jobs that this journal row is about: a query of `queue_id`,
 * `was` and `becomes`, the state of each token before and after the statement, null where there is none.
 */
export function moves(moved: SQL, { failed, dead, among }: MovesOptions = {}): SQL {
  const grown = Object.entries(STATES).map(([state, name]) =>
    among === undefined || among.some((one) => one === state) ? growth(name) : sql`0`,
  );
  return sql`(
    select array_agg(q.numbers) from (
      select array[t.queue_id, ${sql.join(grown, sql`, `)}, ${number(sql`t.was is null and t.becomes is not null`)},
          ${number(sql`t.was = 'READY' and t.becomes in ('LEASED', 'RUNNING')`)}, ${number(sql`t.was is not null and t.becomes is null`)},
          ${failed === undefined ? sql`0` : number(failed)}, ${dead === undefined ? sql`0` : sql`sum(${dead})::int`}] as numbers
        from (${moved}) t group by t.queue_id) q)`;
}

/** Numbers of one queue that a lesser statement knows without counting each token: how its tokens grew, and what happened to lives. */
export interface KnownMoves {
  readonly grown: Partial<Record<TokenState, SQL>>;
  readonly begun?: SQL;
  readonly claimed?: SQL;
  readonly ended?: SQL;
}

/** One row of `journal.moves`, as `moves` makes it: no attempt failed, and no dead letter came or went. */
export function movesOfQueue(queueId: SQL, { grown, begun = sql`0`, claimed = sql`0`, ended = sql`0` }: KnownMoves): SQL {
  const byState = new Map<string, SQL>(Object.entries(grown));
  const inOrder = Object.keys(STATES).map((state) => byState.get(state) ?? sql`0`);
  return sql`array[${queueId}, ${sql.join(inOrder, sql`, `)}, ${begun}, ${claimed}, ${ended}, 0, 0]`;
}
