/** Who may use the door, what rings behind it, and what stays as it is between versions. */
import { randomBytes } from 'node:crypto';
import postgres, { type Sql } from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Stage } from '../../engine/stage.ts';
import { DOOR_ARGUMENTS, enter } from '../../support/sql-door.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
});
afterAll(() => stage.close());

const denied = { code: '42501' };

describe('a role of an application', () => {
  const role = `app_${randomBytes(6).toString('hex')}`;
  let app: Sql;
  beforeAll(async () => {
    await stage.sql.unsafe(`create role ${role} login password 'app'`);
    const url = new URL(stage.database.url);
    [url.username, url.password] = [role, 'app'];
    app = postgres(url.href, { max: 1, onnotice: () => undefined });
  });
  afterAll(async () => {
    await app.end();
    await stage.sql.unsafe(`drop owned by ${role}; drop role ${role}`);
  });

  it('cannot enqueue without the grants', async () => {
    await expect(enter(app, { queue: 'q' })).rejects.toMatchObject(denied);
    await stage.sql.unsafe(`grant usage on schema stint to ${role}`);
    await expect(enter(app, { queue: 'q' })).rejects.toMatchObject(denied);
  });

  it('can with those that the page names, of the whole of it', async () => {
    await stage.sql.unsafe(`grant usage on schema stint to ${role}; grant execute on function stint.enqueue to ${role}`);
    expect(await enter(app, { queue: 'app', idempotency_key: 'k' })).toMatchObject({ deduplicated: false });
    expect(await enter(app, { queue: 'app', idempotency_key: 'k' })).toMatchObject({ deduplicated: true });
    expect(await enter(app, { queue: 'app', run_at: '2199-01-01', headers: '{"a":"é"}' })).toMatchObject({ deduplicated: false });
    expect(await enter(app, { queue: 'app', disposition: 'EXTERNALLY_OWNED' })).toMatchObject({ deduplicated: false });
    expect(await app`select stint.enqueue_version() as version`).toMatchObject([{ version: 1 }]);
  });

  it('can read and write no table for all that, nor draw from a sequence', async () => {
    const relations = await stage.sql`
      select c.relname, c.relkind from pg_class c where c.relnamespace = 'stint'::regnamespace and c.relkind in ('r', 'p', 'S')`;
    expect(relations.length).toBeGreaterThan(15);
    for (const { relname, relkind } of relations) {
      const use = relkind === 'S' ? `select nextval('stint.${relname}')` : `select 1 from stint.${relname}`;
      await expect(app.unsafe(use)).rejects.toMatchObject(denied);
      if (relkind !== 'S') await expect(app.unsafe(`delete from stint.${relname}`)).rejects.toMatchObject(denied);
    }
  });

  it('cannot put objects of its own in the way of those that the door names', async () => {
    await stage.sql.unsafe(`create schema ${role} authorization ${role}`);
    await app.unsafe(`
      create function ${role}.mine() returns text language plpgsql as 'begin raise exception ''mine''; end';
      create function ${role}.sha256(bytea) returns bytea language sql as 'select ${role}.mine()::bytea';
      create function ${role}.clock_timestamp() returns timestamptz language sql as 'select ${role}.mine()::timestamptz';
      create function ${role}.pg_notify(text, text) returns void language sql as 'select ${role}.mine()';
      create temp table job (id int); create temp table idem (id int);
      set search_path = ${role}, pg_temp, pg_catalog`);
    await expect(app`select clock_timestamp()`).rejects.toThrow('mine');
    expect(await enter(app, { queue: 'app', idempotency_key: 'way' })).toMatchObject({ deduplicated: false });
  });
});

describe('whatever the session is set to', () => {
  it.each([
    "set timezone = 'Asia/Kathmandu'; set datestyle = 'German, DMY'; set intervalstyle = 'sql_standard'; set bytea_output = 'escape'",
    'set extra_float_digits = -15; set standard_conforming_strings = off; set transform_null_equals = on; set array_nulls = off',
  ])('%s: the job is the same', async (settings) => {
    const call = {
      queue: 'q',
      type: 't',
      payload: '\\x00ff',
      headers: '{"a":"b"}',
      run_at: '2199-07-01 12:00:00.000001+00',
      multiplier: 1.1,
    };
    const told = async (sql: Pick<Sql, 'unsafe'>) => (await enter(sql, call)).job_id;
    const plain = await told(stage.sql);
    const odd = await stage.sql.begin(async (sql) => {
      await sql.unsafe(settings.replaceAll('set ', 'set local '));
      return await told(sql);
    });
    const [alike] = await stage.sql`
      select to_jsonb(a) - '{id,created_at}'::text[] = to_jsonb(b) - '{id,created_at}'::text[] as record,
          (select details from stint.journal where jobs = array[a.id]) = (select details from stint.journal where jobs = array[b.id]) as journal
        from stint.job a, stint.job b where a.id = ${plain} and b.id = ${odd}`;
    expect(alike).toEqual({ record: true, journal: true });
  });
});

describe('the ring', () => {
  it('comes with the commit, once for a transaction, and not with a rollback', async () => {
    const rings: string[] = [];
    const listener = postgres(stage.database.url, { max: 1 });
    let heard = () => undefined as void;
    const end = new Promise<void>((resolve) => {
      heard = resolve;
    });
    await listener.listen('stint_bell', (payload) => (payload === 'end' ? heard() : rings.push(payload)));
    const undone = await stage.stranger((sql) => enter(sql, { queue: 'ring' }));
    await undone.rollback();
    const done = await stage.stranger(async (sql) => {
      await enter(sql, { queue: 'ring' });
      await enter(sql, { queue: 'ring', run_at: '2199-01-01' });
    });
    await stage.sql`select pg_notify('stint_bell', 'before the commit')`;
    await done.commit();
    await enter(stage.sql, { queue: 'ring', idempotency_key: 'k' });
    await enter(stage.sql, { queue: 'ring', idempotency_key: 'k' });
    await stage.sql`select pg_notify('stint_bell', 'end')`;
    await end;
    await listener.end();
    expect(rings).toEqual(['before the commit', 'sql', 'sql']);
  });
});

describe('version 1', () => {
  it('has these arguments in this order, each with a default but the first, before any that came later', async () => {
    const [row] = await stage.sql<{ names: string[]; types: string[]; count: number; defaults: number }[]>`
      select array(select a.name from unnest(p.proargnames, p.proargmodes) with ordinality as a(name, mode, n) where a.mode <> 'o' order by a.n) as names,
          array(select format_type(a.type, null) from unnest(p.proargtypes) with ordinality as a(type, n) order by a.n) as types,
          p.pronargs::int as count, p.pronargdefaults::int as defaults
        from pg_proc p where p.oid = 'stint.enqueue'::regproc`;
    const { names, types, count, defaults } = row ?? expect.unreachable();
    const first = Object.keys(DOOR_ARGUMENTS).length;
    expect(names.slice(0, first)).toEqual(Object.keys(DOOR_ARGUMENTS));
    expect(types.slice(0, first)).toEqual(Object.values(DOOR_ARGUMENTS));
    expect(defaults).toBe(count - 1);
    expect(await stage.sql`select stint.enqueue_version() as version`).toMatchObject([{ version: 1 }]);
  });

  it('does with more than the rights of its caller, as what counts at the commit, and PUBLIC may use neither', async () => {
    const found = await stage.sql`
      select p.proname as name, has_function_privilege('public', p.oid, 'execute') as public from pg_proc p
       where p.pronamespace = 'stint'::regnamespace and p.prosecdef order by p.proname`;
    expect(found).toMatchObject([
      { name: 'door_settle', public: false },
      { name: 'enqueue', public: false },
    ]);
  });
});
