/**
 * The lock every settlement, start and heartbeat begins with: the lease is there, token and fence match, and it is live
 * by the clock of this very statement. Found by primary key; locked in job order, for opposite orders deadlock.
 */
import { sql, type SQL } from 'drizzle-orm';
import { EVENT_CODES } from '../domain/event.ts';
import type { SettleItem } from '../engine/ports/leases.ts';
import { plainArray } from './array.ts';
import { param, shard } from './statement.ts';

/** Until when its session keeps a lease, by primary key; null where none does. */
const keptUntil = (lease: SQL) => sql`(select s.until from stint.session s where s.shard = ${shard} and s.id = ${lease}.session)`;

/** When a lease `l` ends that its session keeps until then. */
export const leaseEndKeptUntil = (until: SQL): SQL =>
  sql`least(greatest(l.until, ${until}) + l.grace_ms * interval '1 millisecond', l.cancel_deadline, l.run_until, l.life_until)`;

/**
 * When a lease `l` ends whatever happens (domain/lease.ts, leaseEnd): at its expiry plus grace, or before that when an asked-for
 * cancellation is forced, the try times out, or the life does. It expires at its own time or at that of its session, whichever is later.
 */
export const leaseEnd = leaseEndKeptUntil(keptUntil(sql`l`));

/** The same for statements that look at every lease: the sessions are joined once. */
export const leasesWithSessions = sql`stint.lease l left join stint.session s on s.shard = ${shard} and s.id = l.session`;
export const leaseEndWithSession = leaseEndKeptUntil(sql`s.until`);

/** A lease `l` is live until its end. Needs the clock `c`. Where its own time is not over, its session makes no difference. */
export const live = sql`c.now < ${leaseEndKeptUntil(sql`case when l.until <= c.now then ${keptUntil(sql`l`)} end`)}`;

/** When a lease expires, as its holder is told: without the grace. */
export const expiryOf = (lease: SQL): SQL =>
  sql`least(greatest(${lease}.until, ${keptUntil(lease)}), ${lease}.cancel_deadline, ${lease}.run_until, ${lease}.life_until)`;

/** The fate of a lease `l` that ends otherwise than by an ack: once its cancellation was asked for, it ends CANCELLED. */
export const cancelledIfAsked = sql`case when l.cancel_deadline is not null then ${EVENT_CODES.cancelled} end`;

/** Only a started try can be acked, failed or suspended. */
export const started = sql`and l.started_at is not null`;

/**
 * CTE `m`, or `name`: the locked leases of the batch, one row an item, with the batch's own columns beside them: `extraArrays` and
 * `extraColumns` name those, `derived` adds expressions over them, `columns` are those of the lease, `condition` says what more it must be.
 */
export function heldLeases({
  extraArrays = sql``,
  extraColumns = sql``,
  derived = sql``,
  columns = sql`*`,
  condition = sql``,
  name = sql`m`,
}: Partial<Record<'extraArrays' | 'extraColumns' | 'derived' | 'columns' | 'condition' | 'name', SQL>>): SQL {
  return sql`${name} as materialized (
    select i.*, l.* ${derived} from unnest(${param('n')}::int[], ${param('jobs')}::uuid[], ${param('fences')}::bigint[], ${param('secrets')}::uuid[] ${extraArrays})
        as i(n, of_job, of_fence, of_token ${extraColumns})
      cross join c
      cross join lateral (
        select ${columns} from stint.lease l
         where l.shard = ${shard} and l.job = i.of_job and l.token = i.of_token and l.fence = i.of_fence and ${live} ${condition}
         for update) l)`;
}

/** Takes the locked leases away: by key, for a heartbeat may have moved the row since the statement's snapshot. */
export const deleteHeld = sql`gone as (
  delete from stint.lease where shard = ${shard} and job = any(array(select job from m)))`;

export type HeldParam = 'now' | 'n' | 'jobs' | 'fences' | 'secrets';

/** An item and its place in the batch. */
export interface Placed<Item> {
  readonly item: Item;
  readonly position: number;
}

export function placed<Item>(items: readonly Item[]): readonly Placed<Item>[] {
  return items.map((item, position) => ({ item, position }));
}

/** What to send: sorted by job, each token once; what is named twice is answered by looking afterwards. */
export function distinctSorted<Item extends SettleItem>(items: readonly Placed<Item>[]): readonly Placed<Item>[] {
  const seen = new Set<string>();
  return items.filter(({ item }) => !seen.has(tokenKey(item)) && seen.add(tokenKey(item))).toSorted(byJob);
}

/** In the order in which leases are locked. */
export function byJob(a: Placed<SettleItem>, b: Placed<SettleItem>): number {
  return a.item.token.jobId < b.item.token.jobId ? -1 : 1;
}

export function tokenKey({ token }: SettleItem): string {
  return `${token.jobId}/${token.fence}/${token.secret}`;
}

export function heldValues(sorted: readonly Placed<SettleItem>[]) {
  return {
    n: plainArray(sorted.map(({ position }) => position)),
    jobs: plainArray(sorted.map(({ item }) => item.token.jobId)),
    fences: plainArray(sorted.map(({ item }) => item.token.fence)),
    secrets: plainArray(sorted.map(({ item }) => item.token.secret)),
  };
}
