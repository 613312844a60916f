/**
 * Keeps the leases that the worker of one stream lists. The first beat that lists a lease writes its row, and ties it to the row of the
 * session; from then on that one is written for all of them. A lease that runs otherwise long than the session goes on alone.
 */
import { randomUUID } from 'node:crypto';
import type { GroupCommit } from '../group-commit.ts';
import type { HeartbeatItem } from '../ports/repository.ts';
import type { HeartbeatOutcome, LeaseRenewed } from '../ports/leases.ts';
import type { DropItem, SessionBeat, SessionBeaten } from '../ports/work.ts';

export interface KeeperParts {
  readonly beats: GroupCommit<SessionBeat, SessionBeaten>;
  readonly heartbeats: GroupCommit<HeartbeatItem, HeartbeatOutcome>;
  readonly drops: GroupCommit<DropItem, boolean>;
}

/** The session as the database knows it. A new one takes its place when it has lapsed, or is to run otherwise long. */
interface KeptBy {
  readonly sessionId: string;
  readonly durationMs: number;
}

interface Beaten extends KeptBy {
  /** Positional. */
  readonly kept: readonly (LeaseRenewed | null)[];
}

export class Keeper {
  readonly #parts: KeeperParts;
  #session: KeptBy | null = null;
  /** Beats of one worker follow each other here, so that two of them never open a session each. */
  #former: Promise<unknown> = Promise.resolve();

  constructor(parts: KeeperParts) {
    this.#parts = parts;
  }

  /** Positional: renews what is listed, for `durationMs` what runs as long as the session, the others each for its own time. */
  async renew(items: readonly HeartbeatItem[], durationMs: number): Promise<readonly HeartbeatOutcome[]> {
    if (items.length === 0) return [];
    const beating = this.#former.then(() => this.#beat(items, durationMs));
    this.#former = beating.catch(() => undefined);
    const { sessionId: session, kept } = await beating;
    // What brings a checkpoint is written anyway.
    const alone = items.filter(({ checkpoint }, index) => checkpoint !== null || kept[index] === null);
    const outcomes = (await this.#parts.heartbeats.submitMany(alone.map((item) => ({ ...item, session })))).values();
    return items.map(({ checkpoint }, index) => {
      const renewed = checkpoint === null ? (kept[index] ?? null) : null;
      return renewed ?? outcomes.next().value ?? { kind: 'lease_lost', reason: 'NOT_HELD' };
    });
  }

  /** Ends leases that the worker does not list any more. Positional: whether a live one was dropped. */
  drop(tokens: readonly HeartbeatItem['token'][]): Promise<readonly boolean[]> {
    const session = this.#session?.sessionId ?? null;
    return this.#parts.drops.submitMany(tokens.map((token) => ({ token, session })));
  }

  /**
   * Of a lease that was told to be lost. Should the telling have been late, for a beat was on its way, it must not go on unlisted: it ends,
   * or else the session that might keep it.
   */
  async forget(token: HeartbeatItem['token']): Promise<void> {
    try {
      await this.drop([token]);
    } catch {
      this.#session = null;
    }
  }

  async #beat(items: readonly HeartbeatItem[], durationMs: number): Promise<Beaten> {
    const { beats } = this.#parts;
    const former = this.#session;
    if (former !== null && former.durationMs === durationMs) {
      const kept = await beats.submit({ sessionId: former.sessionId, opensForMs: null, items });
      if (kept !== null) return { ...former, kept };
    }
    const opened = { sessionId: randomUUID(), durationMs };
    await beats.submit({ sessionId: opened.sessionId, opensForMs: durationMs, items: [] });
    this.#session = opened;
    return { ...opened, kept: items.map(() => null) };
  }
}
