import { JOURNAL_RETENTION_DAYS } from '../domain/retention.ts';
import type { Clock } from '../engine/ports/clock.ts';
import type { Doorbell } from '../engine/ports/doorbell.ts';
import type { Journal } from '../engine/ports/journal.ts';
import type { Repository } from '../engine/ports/repository.ts';
import type { PoolState, StatementObserver } from '../engine/ports/statement-observer.ts';
import { nowValue } from './clock.ts';
import { Database } from './database.ts';
import { createDoorbell } from './doorbell.ts';
import { openEpoch } from './epoch.ts';
import { createJournal } from './events/journal.ts';
import { migrate } from './migrate.ts';
import { createRepository } from './repository.ts';
import { ensurePartitions } from './upkeep/ensure-partitions.ts';

/** One lane an operation, and some for reads. */
const HOT_CONNECTIONS = 12;
/** Listings and checks: long reads, which must not keep upkeep waiting. */
const SLOW_CONNECTIONS = 2;
/** Upkeep and rings. */
const UPKEEP_CONNECTIONS = 3;
/** A vacuum of millions of dead rows; what is cut short there is begun anew. */
const VACUUM_DEADLINE_MS = 300_000;
/** A round of upkeep is short, and what it cannot do in this time it tries again. */
const UPKEEP_DEADLINE_MS = 5_000;
/** The feed's reads go one after the other; subscribers who catch up share the second. */
const FEED_CONNECTIONS = 2;

export interface Store {
  readonly repository: Repository;
  readonly journal: Journal;
  readonly doorbell: Doorbell;
  pools(): readonly PoolState[];
  close(): Promise<void>;
}

/** Whoever asks while it is done waits for the same end. */
function oneAtATime(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | null = null;
  return () => {
    running ??= work().finally(() => {
      running = null;
    });
    return running;
  };
}

export interface StoreOptions {
  readonly url: string;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Default: 7. */
  readonly journalRetentionDays?: number;
  /** Who watches the statements. Default: nobody. */
  readonly statementObserver?: StatementObserver | undefined;
}

/** Brings the schema up to date and opens the pools. Throws what the driver says where the database cannot be reached. */
export async function openStore({
  url,
  clock,
  random,
  journalRetentionDays = JOURNAL_RETENTION_DAYS.default,
  statementObserver: observer,
}: StoreOptions): Promise<Store> {
  await migrate(url);
  const watched = { url, observer };
  const upkeep = new Database({
    ...watched,
    connections: UPKEEP_CONNECTIONS,
    applicationName: 'stint upkeep',
    settings: 'plain',
    queryDeadlineMs: UPKEEP_DEADLINE_MS,
    onUnprepared: () => prepare(),
  });
  const slow = new Database({
    ...watched,
    connections: SLOW_CONNECTIONS,
    applicationName: 'stint slow',
    settings: 'plain',
    onUnprepared: () => prepare(),
  });
  // Partitions first, of which an older state of the database has none for today: where there is an epoch everybody writes.
  // Neither statement needs what it makes, so this does not wait for itself. A slow disk takes seconds for tables by the dozen.
  const prepare = oneAtATime(async () => {
    await ensurePartitions(slow.run, nowValue(clock));
    await openEpoch(slow.run);
  });
  await prepare();
  const hot = new Database({
    ...watched,
    connections: HOT_CONNECTIONS,
    applicationName: 'stint hot',
    settings: 'hot',
    onUnprepared: prepare,
  });
  const feed = new Database({
    ...watched,
    connections: FEED_CONNECTIONS,
    applicationName: 'stint feed',
    settings: 'hot',
    onUnprepared: prepare,
  });
  const vacuum = new Database({
    ...watched,
    connections: 1,
    applicationName: 'stint vacuum',
    settings: 'plain',
    queryDeadlineMs: VACUUM_DEADLINE_MS,
  });
  const doorbell = createDoorbell(url, upkeep);
  const databases = [hot, slow, upkeep, vacuum, feed];
  return {
    pools: () => databases.map(({ state }) => state),
    repository: createRepository({ hot, slow, upkeep, vacuum, clock, random, journalRetentionDays }),
    journal: createJournal(feed.run),
    doorbell,
    close: async () => {
      await Promise.all([doorbell, ...databases].map((one) => one.close()));
    },
  };
}
