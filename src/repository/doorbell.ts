import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import postgres, { type Sql } from 'postgres';
import type { Doorbell, DoorbellListener } from '../engine/ports/doorbell.ts';
import type { Database } from './database.ts';
import { notifyProgress, parseNotice, PROGRESS_CHANNEL } from './progress-notice.ts';
import { statement, param } from './statement.ts';
import { sql } from 'drizzle-orm';

const CHANNEL = 'stint_bell';
/** What a change of queues says in its own transaction, see queues/configure.ts. */
const QUEUES = 'queues';
/** NOTIFY takes a lock at commit: at most one in this time, whatever is committed meanwhile. */
const RING_GAP_MS = 10;
/** Whoever has not heard its own ring by the next one listens anew. */
const HEARING_TEST_MS = 5_000;
/** Of another replica a ring or test is heard at least so often, three tests of its hearing: past it there is none. */
const COMPANY_MS = 3 * HEARING_TEST_MS;
const CONNECT_TIMEOUT_S = 5;
/** So long a start waits to be listening. */
const FIRST_ANSWER_MS = 3_000;
const CLOSE_TIMEOUT_S = 2;

const notifyStatement = statement<'replica'>('ring-doorbell', sql`select pg_notify('stint_bell', ${param('replica')}::text)`);

/**
 * NOTIFY on the plain pool, LISTEN on a connection of its own. The driver listens again after a lost connection, once: a
 * standby refuses it and stays connected when it is promoted, and a network may drop a connection silently. So each
 * replica tests its own hearing.
 *
 * Each NOTIFY is a commit that is flushed, so a replica that for three tests hears itself and nobody else does not ring. Whoever begins to listen
 * notifies, and is rung for at once: what it was not rung for before, it looks for then.
 */
export function createDoorbell(url: string, database: Pick<Database, 'run'>): Doorbell {
  const replica = randomUUID();
  let listener: Sql | null = null;
  const hearing = new Hearing();
  let testing: NodeJS.Timeout | null = null;

  // A lost ring costs the others one interval of polling, nothing else.
  const notify = () => void database.run(notifyStatement, { replica }).catch(() => undefined);

  const clapper = new Clapper(notify);

  const listen = async ({ onRing, onQueues, onProgress }: DoorbellListener) => {
    const former = listener;
    listener = connect(url);
    // What its last queries met was told already, or is of no interest.
    former?.end({ timeout: CLOSE_TIMEOUT_S }).catch(() => undefined);
    const onHeard = (from: string) => {
      if (from === replica) return hearing.ofItself();
      if (hearing.isAlone()) clapper.ring();
      hearing.ofOther();
      if (from === QUEUES) onQueues();
      else onRing();
    };
    const onListening = () => {
      hearing.begin();
      notify();
      onRing();
      onQueues();
    };
    const connection = listener;
    await connection.listen(CHANNEL, onHeard, onListening);
    if (onProgress !== undefined) {
      await connection.listen(PROGRESS_CHANNEL, (notice) => onProgress(() => parseNotice(notice, replica)));
    }
  };

  return {
    ring: () => {
      if (!hearing.isAlone()) clapper.ring();
    },
    tell: (progress) => notifyProgress(database.run, replica, progress),
    listen: async (told) => {
      // A database that says nothing keeps nobody from serving: the log is looked at in any case, and listening is tried again.
      await Promise.race([listen(told), pause(FIRST_ANSWER_MS, undefined, { ref: false })]);
      testing = setInterval(() => {
        if (!hearing.test()) listen(told).catch(() => undefined);
        notify();
      }, HEARING_TEST_MS);
    },
    close: async () => {
      clapper.stop();
      if (testing !== null) clearInterval(testing);
      await listener?.end({ timeout: CLOSE_TIMEOUT_S });
    },
  };
}

/** Whom a replica hears. */
class Hearing {
  /** Since the last test. */
  #heard = true;
  /** It has heard itself, and since then no test has failed. */
  #hears = false;
  #othersHeardAt = performance.now();

  /** Who begins to listen has heard nobody yet: as long as the others' silence must last, there may be some. */
  begin(): void {
    this.#othersHeardAt = performance.now();
  }

  ofItself(): void {
    this.#heard = true;
    this.#hears = true;
  }

  ofOther(): void {
    this.#othersHeardAt = performance.now();
  }

  isAlone(): boolean {
    return this.#hears && performance.now() - this.#othersHeardAt > COMPANY_MS;
  }

  /** Begins another one; whether it has heard itself in the last. */
  test(): boolean {
    const heard = this.#heard;
    if (!heard) this.#hears = false;
    this.#heard = false;
    return heard;
  }
}

/** The first ring after a quiet time is at once, the others keep their distance. */
class Clapper {
  readonly #notify: () => void;
  #ringing: NodeJS.Timeout | null = null;
  #rungAt = Number.NEGATIVE_INFINITY;

  constructor(notify: () => void) {
    this.#notify = notify;
  }

  ring(): void {
    this.#ringing ??= setTimeout(
      () => {
        this.#ringing = null;
        this.#rungAt = performance.now();
        this.#notify();
      },
      Math.max(0, this.#rungAt + RING_GAP_MS - performance.now()),
    );
  }

  stop(): void {
    if (this.#ringing !== null) clearTimeout(this.#ringing);
  }
}

function connect(url: string): Sql {
  return postgres(url, {
    max: 1,
    fetch_types: false,
    onnotice: () => undefined,
    connect_timeout: CONNECT_TIMEOUT_S,
    connection: { application_name: 'stint listen' },
  });
}
