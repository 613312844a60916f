import { setTimeout as delay } from 'node:timers/promises';
import postgres, { type Sql } from 'postgres';
import { beforeAll, describe, expect, it } from 'vitest';
import { DatabaseScene, LIMIT_MS } from './database-scene.ts';

const TERMINATIONS = 40;
const PAUSE_MS = 100;

describe('sessions that end without the service asking', { timeout: LIMIT_MS }, () => {
  let scene: DatabaseScene;
  beforeAll(async () => {
    scene = await DatabaseScene.open();
    return async () => await scene.close();
  }, LIMIT_MS);

  /** On a session that nobody ends. */
  async function operate(work: (sql: Sql) => Promise<void>): Promise<void> {
    const sql = postgres(scene.postgres.url, { max: 1, onnotice: () => undefined });
    try {
      await work(sql);
    } finally {
      await sql.end({ timeout: 1 });
    }
  }

  it('are replaced, when an operator ends one after the other', async () => {
    const kinds = new Set<string>();
    const terminate = async (sql: Sql) => {
      for (let count = 0; count < TERMINATIONS; count += 1) {
        const ended = await sql`
          select application_name as kind, pg_terminate_backend(pid) from (
            select * from pg_stat_activity where application_name like 'stint %' order by random() limit 1) one`;
        for (const { kind } of ended) kinds.add(String(kind));
        await delay(PAUSE_MS);
      }
    };
    await scene.suffer({
      name: `${TERMINATIONS} ended sessions`,
      breaks: () => operate(terminate),
      mends: () => Promise.resolve(),
    });
    // Those that ask most are always there to be ended.
    expect([...kinds]).toEqual(expect.arrayContaining(['stint hot', 'stint upkeep']));
  });

  it('are replaced, when one is killed and Postgres therefore ends all the others and recovers', async () => {
    const kill = async (sql: Sql) => {
      const [victim] = await sql`select pid from pg_stat_activity where application_name = 'stint hot' limit 1`;
      const asleep = sql`select pg_sleep(60)`.then(
        () => 'slept on',
        () => 'cut off',
      );
      process.kill(Number(victim?.['pid']), 'SIGKILL');
      expect(await asleep).toBe('cut off');
    };
    await scene.suffer({ name: 'a killed session', breaks: () => operate(kill), mends: () => Promise.resolve() });
  });

  it('leave nothing wrong behind', async () => {
    await scene.expectSound();
  });
});
