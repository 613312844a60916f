/** What a synchronous standby buys: the primary dies at a moment at which its standby has not had all of it. */
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { JobIdMint } from '../../src/engine/jobs/mint-job-id.ts';
import { administer, connected } from '../support/administration.ts';
import { PostgresServer } from '../support/postgres-server.ts';
import { LaggingStandby } from '../support/standby.ts';
import { Succession } from './succession.ts';

const LANES = 8;
const ANSWERS = 50;
const LIMIT_MS = 120_000;
const LONG = { timeout: 30_000, interval: 20 };

async function waitFor(url: string, question: string): Promise<void> {
  await vi.waitFor(async () => expect(await administer(url, question)).toEqual([{ yes: true }]), LONG);
}

/** Producers who enqueue one job after the other until they are told to leave, and what they were answered. */
class Producers {
  readonly answered: string[] = [];
  readonly #leaving = new AbortController();
  readonly #lanes: Promise<void>[];

  constructor(on: Succession) {
    const mint = new JobIdMint();
    this.#lanes = Array.from({ length: LANES }, async (_, lane) => {
      for (let count = 0; !this.#leaving.signal.aborted; count += 1) {
        const jobId = mint.mint();
        const isAnswered = await on.enqueue(`${lane}-${count}`, jobId).then(
          () => true,
          () => false,
        );
        if (isAnswered) this.answered.push(jobId);
      }
    });
  }

  async untilAnswered(more: number): Promise<void> {
    const wanted = this.answered.length + more;
    await vi.waitFor(() => expect(this.answered.length).toBeGreaterThanOrEqual(wanted), LONG);
  }

  async leave(): Promise<void> {
    this.#leaving.abort();
    await Promise.all(this.#lanes);
  }
}

/** How many of the jobs that were answered for are not there once the standby has taken the place of the primary. */
async function failOver(way: 'synchronous' | 'asynchronous'): Promise<{ readonly answered: number; readonly lost: number }> {
  const primary = await PostgresServer.create();
  const standby = await LaggingStandby.behind(primary);
  if (way === 'synchronous') {
    await administer(primary.url, `alter system set synchronous_standby_names = '*'`);
    await administer(primary.url, 'select pg_reload_conf()');
    await waitFor(primary.url, `select exists (select from pg_stat_replication where sync_state = 'sync') as yes`);
  }
  const on = await Succession.over(primary);
  onTestFinished(() => on.end());
  const producers = new Producers(on);
  await producers.untilAnswered(ANSWERS);

  await standby.cutOff();
  if (way === 'asynchronous') await producers.untilAnswered(ANSWERS);
  else await waitFor(primary.url, `select count(*) >= 1 as yes from pg_stat_activity where wait_event = 'SyncRep'`);
  await primary.kill();
  await on.swapTo(standby.server);
  await standby.promote();
  await on.untilServed(`a fail-over to a standby that was ${way}`);
  await producers.leave();
  const { answered } = producers;
  const found = await connected(standby.server.url, async (sql) => await sql`select id from stint.job where id = any(${answered})`);
  console.log(`${way}: ${answered.length} jobs were answered, ${answered.length - found.length} of them are lost`);
  return { answered: answered.length, lost: answered.length - found.length };
}

describe('a fail-over', { timeout: LIMIT_MS }, () => {
  it('to a synchronous standby loses nothing that was answered', async () => {
    const { answered, lost } = await failOver('synchronous');
    expect(answered).toBeGreaterThanOrEqual(ANSWERS);
    expect(lost).toBe(0);
  });

  it('to an asynchronous one loses what it had not got', async () => {
    const { lost } = await failOver('asynchronous');
    expect(lost).toBeGreaterThanOrEqual(ANSWERS - LANES);
  });
});
