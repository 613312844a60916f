import { JOURNAL_RETENTION_DAYS } from '../domain/retention.ts';
import type { Clock } from '../engine/ports/clock.ts';
import type { Doorbell } from '../engine/ports/doorbell.ts';
import type { Journal } from '../engine/ports/journal.ts';
import type { Repository } from '../engine/ports/repository.ts';
import type { PoolState, StatementObserver } from '../engine/ports/statement-observer.ts';
import { nowValue } from './clock.ts';
import { Database } from './database.ts';
import type { Session } from './session.ts';
import { createDoorbell } from './doorbell.ts';
import { openEpoch } from './epoch.ts';
import { createJournal } from './events/journal.ts';
import { checkSchema, migrate } from './migrate.ts';
import { createRepository } from './repository.ts';
import { type Release, thisRelease } from './schema-version.ts';
import { SchemaWatch } from './schema-watch.ts';
import { findWeakSettings, refuseHiddenPooler, type WeakSetting } from './server-fitness.ts';
import { createSilentDoorbell } from './silent-doorbell.ts';
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
  /** What is off in the server's settings of that which makes a commit last. */
  weakSettings(): Promise<readonly WeakSetting[]>;
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

/** What keeps a start from the server behind the pooler; the cause says what it is. */
class DirectDatabaseError extends Error {
  override readonly name = 'DirectDatabaseError';
  readonly kind = 'direct_database';
}

function directRefusal(cause: unknown): never {
  throw new DirectDatabaseError('the server behind the pooler cannot be had', { cause });
}

export interface StoreOptions {
  readonly url: string;
  /** Whether a transaction pooler stands at `url`. Default: none. */
  readonly pooler?: 'none' | 'transaction';
  /** Of the server behind the pooler, for what a session that is lent cannot do: to listen, and to vacuum by settings of its own. */
  readonly directUrl?: string | null;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Default: 7. */
  readonly journalRetentionDays?: number;
  /** False leaves it to others to bring the schema up to date, and refuses one that is not. Default: true. */
  readonly migrates?: boolean;
  /** Tests play the next one. */
  readonly release?: Release;
  /** Called when a look, made while this is open, finds a schema that the release must not work on. */
  readonly onUnfit?: (refusal: Error) => void;
  /** Who watches the statements. Default: nobody. */
  readonly statementObserver?: StatementObserver | undefined;
}

/** Brings the schema up to date, or looks whether it is, and opens the pools. Throws what the driver says where the database cannot be reached. */
export async function openStore({
  url,
  pooler = 'none',
  directUrl = pooler === 'none' ? url : null,
  clock,
  random,
  journalRetentionDays = JOURNAL_RETENTION_DAYS.default,
  migrates = true,
  release = thisRelease(),
  onUnfit = () => undefined,
  statementObserver: observer,
}: StoreOptions): Promise<Store> {
  await (migrates ? migrate : checkSchema)(url, release);
  const session: Session = pooler === 'none' ? 'own' : 'lends';
  const watched = { url, session, observer };
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
  if (pooler === 'none') await refuseHiddenPooler(slow.run);
  await prepare();
  const eager = { ...watched, settings: 'hot', onUnprepared: prepare } as const;
  const hot = new Database({ ...eager, connections: HOT_CONNECTIONS, applicationName: 'stint hot' });
  const feed = new Database({ ...eager, connections: FEED_CONNECTIONS, applicationName: 'stint feed' });
  const { vacuum, doorbell } = await openDirect({ url, pooler, directUrl, upkeep, observer });
  const watch = new SchemaWatch({ run: upkeep.run, release, onUnfit });
  const databases = [hot, slow, upkeep, vacuum, feed];
  return {
    pools: () => databases.map(({ state }) => state),
    repository: createRepository({ hot, slow, upkeep, vacuum, clock, random, journalRetentionDays }),
    journal: createJournal(feed.run),
    doorbell,
    weakSettings: () => findWeakSettings(slow.run),
    close: async () => {
      watch.stop();
      await Promise.all([doorbell, ...databases].map((one) => one.close()));
    },
  };
}

interface Direct {
  readonly vacuum: Database;
  readonly doorbell: Doorbell;
}

interface DirectOptions extends Required<Pick<StoreOptions, 'url' | 'pooler'>> {
  readonly directUrl: string | null;
  readonly upkeep: Database;
  readonly observer: StatementObserver | undefined;
}

/** What a session that is lent cannot do, or does worse. */
async function openDirect({ url, pooler, directUrl, upkeep, observer }: DirectOptions): Promise<Direct> {
  const vacuum = new Database({
    ...(directUrl === null ? { url, session: 'lends_bare' } : { url: directUrl }),
    observer,
    connections: 1,
    applicationName: 'stint vacuum',
    settings: 'plain',
    queryDeadlineMs: VACUUM_DEADLINE_MS,
  });
  if (directUrl === null) return { vacuum, doorbell: createSilentDoorbell() };
  if (pooler !== 'none') await refuseHiddenPooler(vacuum.run).catch(directRefusal);
  return { vacuum, doorbell: createDoorbell(directUrl, upkeep) };
}
