/** What a change of a queue's settings means for its concurrency keys. */
import { sql } from 'drizzle-orm';
import type { QueueSettings } from '../../domain/queue.ts';
import { clock } from '../clock.ts';
import type { Run } from '../database.ts';
import { lockedGates } from '../gates.ts';
import { param, shard, statement } from '../statement.ts';
import { unblockIn } from '../upkeep/unblock.ts';
import { waitForClaimsStatement } from './wait-for-claims.ts';

/** Behind the gate, in the order of the keys. A bucket of another rate begins full. */
const wakeKeysStatement = statement<'now' | 'queueId' | 'isOtherRate'>(
  'wake-keys',
  sql`with ${clock}, ${lockedGates(sql`array[${param('queueId')}::int]`)},
  k as materialized (
    select s.key from stint.slot s where s.shard = ${shard} and s.queue_id = ${param('queueId')}::int and (select count(*) from gl) >= 0
     order by s.key for update)
  update stint.slot s set wake_at = c.now, filled_at = case when ${param('isOtherRate')}::boolean then c.now else s.filled_at end,
      permits = case when ${param('isOtherRate')}::boolean then coalesce(q.key_rate_burst, 0) else s.permits end
    from k cross join c cross join lateral (select * from stint.queue where shard = ${shard} and id = ${param('queueId')}::int offset 0) q
   where s.shard = ${shard} and s.queue_id = ${param('queueId')}::int and s.key = k.key`,
);

/** Concurrency keys whose slots are given in one step. */
const KEYS_AT_ONCE = 1_000;

/** What the slots of keys go by. */
const rateOf = ({ rateLimit }: QueueSettings) => (rateLimit?.perKey === true ? JSON.stringify(rateLimit) : '');
const keysOf = (settings: QueueSettings) => `${settings.concurrencyPerKey} ${rateOf(settings)}`;

/** In force with the answer: who is READY beyond a bound that was lowered is BLOCKED before anybody claims it. */
export async function adjustKeys(
  run: Run,
  now: string | null,
  queueId: number,
  { settings, former }: { readonly settings: QueueSettings; readonly former: QueueSettings },
): Promise<void> {
  if (keysOf(settings) === keysOf(former)) return;
  const isOtherRate = rateOf(settings) !== rateOf(former);
  await run(waitForClaimsStatement, {});
  await run(wakeKeysStatement, { now, queueId, isOtherRate });
  for (;;) if (!(await unblockIn(run, now, KEYS_AT_ONCE, queueId)).more) return;
}
