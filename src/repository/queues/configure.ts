/**
 * What operators do to queues, each in a transaction with its audit record and what its request was answered.
 *
 * A statement of the request path reads a queue's status and whether it has a gate with its own snapshot, and locks neither: that costs it
 * nothing. So a change that such a statement must not overlook waits until those that are under way have ended: all that moves a token
 * writes the journal, and all that claims writes `lease`, so a lock on either table is had once they have, and the next ones come after it.
 * The recount that a gate begins with is exact for the same reason.
 */
import { sql } from 'drizzle-orm';
import type { Refusal } from '../../domain/error.ts';
import {
  ACTIONS,
  type ConfiguredQueue,
  DEFAULT_SETTINGS,
  MODE_CODES,
  type QueueName,
  type QueueSettings,
  type QueueStatus,
  STATUS_CODES,
} from '../../domain/queue.ts';
import type { ActionItem, Configured, PutItem } from '../../engine/ports/queues.ts';
import { textArray } from '../array.ts';
import { clock } from '../clock.ts';
import type { Database, Run } from '../database.ts';
import { OTHER_REQUEST, sameDigest } from '../jobs/operate.ts';
import { answerRequests, openRequests } from '../requests.ts';
import { param, shard, statement } from '../statement.ts';
import { walkAnew } from '../prune-marks.ts';
import { capLeasesStatement } from '../worker-bounds.ts';
import { adjustKeys } from './adjust-keys.ts';
import { writeAudit } from './audit.ts';
import { configuredQueue, lockQueue } from './configured-queue.ts';
import { recountOf } from './recount.ts';
import { createQueues } from './resolve-queues.ts';
import { waitForClaimsStatement } from './wait-for-claims.ts';
import { waitForWritersStatement } from './wait-for-writers.ts';

/** Begins with what is there, and with no bound. */
const openGateStatement = statement<'now' | 'queueId'>(
  'open-gate',
  sql`with ${clock}
  insert into stint.gate (shard, queue_id, scheduled, blocked, ready, leased, running, retry_wait, suspended, permits, filled_at, claims, counted_at)
  select ${shard}, ${param('queueId')}::int, n.*, 0, c.now, 0, c.now from (${recountOf()}) n cross join c
  on conflict (shard, queue_id) do nothing`,
);

/**
 * A bucket of another rate begins full, and one of the same keeps its level. A gate whose bounds stand is not touched: who drains it keeps
 * all writers out, and must not wait for one of them that has locked it.
 */
const boundGateStatement = statement<'queueId' | 'maxInFlight' | 'maxPerWorker' | 'maxQueued' | 'permits' | 'periodMs' | 'burst'>(
  'bound-gate',
  sql`update stint.gate set max_in_flight = ${param('maxInFlight')}::int, max_per_worker = ${param('maxPerWorker')}::int,
        max_queued = ${param('maxQueued')}::int,
        permits = case when (rate_permits, rate_period_ms, rate_burst) is distinct from
            (${param('permits')}::int, ${param('periodMs')}::bigint, ${param('burst')}::int)
          then coalesce(${param('burst')}::int, 0) else permits end,
        rate_permits = ${param('permits')}::int, rate_period_ms = ${param('periodMs')}::bigint, rate_burst = ${param('burst')}::int
     where shard = ${shard} and queue_id = ${param('queueId')}::int
       and (max_in_flight, max_per_worker, max_queued, rate_permits, rate_period_ms, rate_burst) is distinct from (${param('maxInFlight')}::int,
         ${param('maxPerWorker')}::int, ${param('maxQueued')}::int, ${param('permits')}::int, ${param('periodMs')}::bigint, ${param('burst')}::int)`,
);

const closeGateStatement = statement<'queueId'>(
  'close-gate',
  sql`delete from stint.gate where shard = ${shard} and queue_id = ${param('queueId')}::int`,
);

const gateOfStatement = statement<'queueId'>(
  'gate-of',
  sql`select max_per_worker from stint.gate where shard = ${shard} and queue_id = ${param('queueId')}::int`,
);

type SettingsParam =
  | 'now'
  | 'queueId'
  | 'mode'
  | 'cancellationBudgetMs'
  | 'leaseDurationMs'
  | 'leaseGraceMs'
  | 'maxAttempts'
  | 'initialBackoffMs'
  | 'multiplier'
  | 'maxBackoffMs'
  | 'jitter'
  | 'nonRetryableCodes'
  | 'deadLetterEnabled'
  | 'deadLetterQueueId'
  | 'deadLetterPayloadBytes'
  | 'concurrencyPerKey'
  | 'concurrencyHold'
  | 'keyPermits'
  | 'keyPeriodMs'
  | 'keyBurst'
  | 'fairnessWeights'
  | 'retentionMs';

const writeSettingsStatement = statement<SettingsParam>(
  'write-settings',
  sql`with ${clock}
  update stint.queue set updated_at = c.now, mode = ${param('mode')}::smallint, cancellation_budget_ms = ${param('cancellationBudgetMs')}::bigint,
      lease_duration_ms = ${param('leaseDurationMs')}::int, lease_grace_ms = ${param('leaseGraceMs')}::int, max_attempts = ${param('maxAttempts')}::int,
      initial_backoff_ms = ${param('initialBackoffMs')}::bigint, multiplier = ${param('multiplier')}::float8, max_backoff_ms = ${param('maxBackoffMs')}::bigint,
      jitter = ${param('jitter')}::boolean, non_retryable_codes = ${param('nonRetryableCodes')}::text[],
      dead_letter_enabled = ${param('deadLetterEnabled')}::boolean, dead_letter_queue_id = ${param('deadLetterQueueId')}::int,
      dead_letter_payload_bytes = ${param('deadLetterPayloadBytes')}::int, concurrency_per_key = ${param('concurrencyPerKey')}::int,
      concurrency_hold = ${param('concurrencyHold')}::boolean, key_rate_permits = ${param('keyPermits')}::int,
      key_rate_period_ms = ${param('keyPeriodMs')}::bigint, key_rate_burst = ${param('keyBurst')}::int,
      fairness_weights = ${param('fairnessWeights')}::text::jsonb,
      retention_ms = ${param('retentionMs')}::bigint
    from c where shard = ${shard} and id = ${param('queueId')}::int`,
);

const writeStatusStatement = statement<'now' | 'queueId' | 'status' | 'reason'>(
  'write-status',
  sql`with ${clock}
  update stint.queue set updated_at = c.now, status = ${param('status')}::smallint, status_reason = ${param('reason')}::text
    from c where shard = ${shard} and id = ${param('queueId')}::int`,
);

const pauseNamespaceStatement = statement<'now' | 'namespace' | 'reason'>(
  'pause-namespace',
  sql`with ${clock}
  insert into stint.paused_namespace (shard, namespace, reason, at) select ${shard}, ${param('namespace')}::text, ${param('reason')}::text, c.now from c
  on conflict (shard, namespace) do nothing returning namespace`,
);

const resumeNamespaceStatement = statement<'namespace'>(
  'resume-namespace',
  sql`delete from stint.paused_namespace where shard = ${shard} and namespace = ${param('namespace')}::text returning namespace`,
);

/** Delivered at the commit: parked claims and whoever waits for a drain look again. */
const ringStatement = statement<never>('ring-queues', sql`select pg_notify('stint_bell', 'queues')`);

type Transactions = Pick<Database, 'transaction'>;

export async function putQueue(database: Transactions, now: string | null, item: PutItem): Promise<Configured> {
  return configure(database, now, { rpc: 'PutQueue', item }, async (run) => {
    const { namespace, name } = item;
    const [made] = await createQueues(run, [{ namespace, name }]);
    const former = (await lockQueue(run, item))?.queue;
    if (made === undefined || former === undefined) throw new Error('a queue that was made is not there');
    const change = item.change(former.settings);
    if ('refusal' in change) throw new Refused(change.refusal);
    const { settings } = change;
    const deadLetterQueueId = await deadLetterQueue(run, item, settings.deadLetterQueue);
    await run(writeSettingsStatement, { now, queueId: made.id, deadLetterQueueId, ...columns(settings) });
    if (settings.retentionMs !== former.settings.retentionMs) await walkAnew(run, now, settings.retentionMs);
    await adjustGate(run, now, made.id, settings, former.status);
    await adjustKeys(run, now, made.id, { settings, former: former.settings });
    const queue = await readBack(run, item);
    const record = { namespace, queue: name, actor: item.actor, action: 'PUT', reason: '' };
    await writeAudit(run, now, { ...record, before: JSON.stringify(former.settings), after: JSON.stringify(queue.settings) });
    return { queue, changed: true };
  });
}

export async function applyAction(database: Transactions, now: string | null, item: ActionItem): Promise<Configured> {
  return configure(database, now, { rpc: 'ApplyAction', item }, async (run) => {
    const { namespace, queue: name, action, actor, reason } = item;
    const record = { namespace, queue: name ?? '', actor, action, reason };
    if (name === null) {
      const changed = await pauseNamespace(run, now, item);
      const [stands, other] = action === 'PAUSE' ? ['PAUSED', 'ACTIVE'] : ['ACTIVE', 'PAUSED'];
      await writeAudit(run, now, { ...record, before: JSON.stringify(changed ? other : stands), after: JSON.stringify(stands) });
      return { queue: null, changed };
    }
    const found = await lockQueue(run, { namespace, name });
    if (found === null) throw new Refused({ kind: 'queue_not_found', namespace, queue: name });
    const status = ACTIONS[action];
    const changed = found.queue.status !== status;
    // What is claimed after the answer would be claimed from a queue that was stopped before it.
    if (changed && status === 'PAUSED') await run(waitForClaimsStatement, {});
    if (changed && isDraining(status)) await run(waitForWritersStatement, {});
    await run(writeStatusStatement, { now, queueId: found.id, status: STATUS_CODES[status], reason });
    await adjustGate(run, now, found.id, found.queue.settings, status);
    await writeAudit(run, now, { ...record, before: JSON.stringify(found.queue.status), after: JSON.stringify(status) });
    return { queue: await readBack(run, { namespace, name }), changed };
  });
}

/** Whether it was otherwise before. */
async function pauseNamespace(run: Run, now: string | null, { namespace, action, reason }: ActionItem): Promise<boolean> {
  if (action === 'RESUME') return (await run(resumeNamespaceStatement, { namespace })).length > 0;
  await run(waitForClaimsStatement, {});
  return (await run(pauseNamespaceStatement, { now, namespace, reason })).length > 0;
}

const isDraining = (status: QueueStatus) => status === 'DRAINING_BACKLOG' || status === 'DRAINING_IN_FLIGHT';

/** A queue has a gate while it is bounded or drains. */
async function adjustGate(run: Run, now: string | null, queueId: number, settings: QueueSettings, status: QueueStatus): Promise<void> {
  const { maxInFlight, maxInFlightPerWorker: maxPerWorker, maxQueued } = settings;
  const rateLimit = settings.rateLimit?.perKey === true ? null : settings.rateLimit;
  if (maxInFlight === null && maxPerWorker === null && maxQueued === null && rateLimit === null && !isDraining(status)) {
    await run(closeGateStatement, { queueId });
    return;
  }
  const [gate] = await run(gateOfStatement, { queueId });
  const capsWorkers = maxPerWorker !== null && (gate?.['max_per_worker'] ?? null) === null;
  if (gate === undefined || capsWorkers) await run(waitForWritersStatement, {});
  if (gate === undefined) await run(openGateStatement, { now, queueId });
  if (capsWorkers) await run(capLeasesStatement, { queueId });
  const { permits = null, periodMs = null, burst = null } = rateLimit ?? {};
  await run(boundGateStatement, { queueId, maxInFlight, maxPerWorker, maxQueued, permits, periodMs, burst });
}

/** Its number, where there is one. No way leads from it back to the queue: what failed would go round for ever. */
async function deadLetterQueue(run: Run, { namespace, name }: QueueName, target: string): Promise<number | null> {
  if (target === '') return null;
  const [made] = await createQueues(run, [{ namespace, name: target }]);
  const met = new Set<string>();
  // Each is locked on the way, so that of two who would close a circle together one comes second. A circle that others made ends it too.
  for (let next = target; next !== '' && !met.has(next); next = await followingQueue(run, { namespace, name: next })) {
    met.add(next);
    if (next !== name) continue;
    const description = target === name ? 'must be another queue' : 'leads back to this queue';
    throw new Refused({ kind: 'invalid_field', violations: [{ field: 'queue.dead_letter.queue', description }] });
  }
  return made?.id ?? null;
}

async function followingQueue(run: Run, name: QueueName): Promise<string> {
  return (await lockQueue(run, name))?.queue.settings.deadLetterQueue ?? '';
}

async function readBack(run: Run, name: QueueName): Promise<ConfiguredQueue> {
  const queue = await configuredQueue(run, name);
  if (queue === null) throw new Error('a queue that was written is not there');
  return queue;
}

function columns({ mode, retry, ...settings }: QueueSettings) {
  const { permits = null, periodMs = null, burst = null } = settings.rateLimit?.perKey === true ? settings.rateLimit : {};
  const { cancellationBudgetMs, leaseDurationMs, leaseGraceMs, deadLetterEnabled, deadLetterPayloadBytes, retentionMs } = settings;
  return {
    ...{ cancellationBudgetMs, leaseDurationMs, leaseGraceMs, deadLetterEnabled, deadLetterPayloadBytes, retentionMs },
    ...{ ...retry, nonRetryableCodes: textArray(retry.nonRetryableCodes) },
    mode: MODE_CODES[mode],
    ...{ concurrencyPerKey: settings.concurrencyPerKey, concurrencyHold: settings.concurrencyPolicy === 'HOLD' },
    ...{ keyPermits: permits, keyPeriodMs: periodMs, keyBurst: burst },
    fairnessWeights: JSON.stringify(settings.fairnessWeights),
  };
}

/** Undoes the transaction: where the answer is no, nothing is changed. */
class Refused extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super('refused');
    this.refusal = refusal;
  }
}

type Done = Omit<Extract<Configured, { readonly kind: 'done' }>, 'kind'>;

/** Does the work once for each request, and remembers what it came to. */
async function configure(
  database: Transactions,
  now: string | null,
  { rpc, item }: { readonly rpc: string; readonly item: Pick<PutItem, 'namespace' | 'request'> },
  work: (run: Run) => Promise<Done>,
): Promise<Configured> {
  try {
    return await database.transaction(async (run): Promise<Configured> => {
      const former = (await openRequests(run, now, rpc, [item])).get(0);
      if (former !== undefined && !sameDigest(item.request?.digest, former.digest)) return { kind: 'refused', refusal: OTHER_REQUEST };
      if (former !== undefined) return { kind: 'done', ...parseDone(former.answer) };
      const done = await work(run);
      await answerRequests(run, rpc, [item], new Map([[0, JSON.stringify(done)]]));
      await run(ringStatement, {});
      return { kind: 'done', ...done };
    });
  } catch (error) {
    if (error instanceof Refused) return { kind: 'refused', refusal: error.refusal };
    throw error;
  }
}

/** What was remembered before there was a setting has it by default, as it was then. */
function parseDone(answer: string): Done {
  const done = JSON.parse(answer) as Done;
  const { queue } = done;
  return queue === null ? done : { ...done, queue: { ...queue, settings: { ...DEFAULT_SETTINGS, ...queue.settings } } };
}
