/** The page of the SQL door: its examples run as they stand, and its table is the function. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Stage } from '../engine/stage.ts';
import { projectRoot } from '../house/source.ts';
import { DOOR_ARGUMENTS } from '../support/sql-door.ts';

const page = readFileSync(join(projectRoot, 'docs/sql-door.md'), 'utf8');
const examples = [...page.matchAll(/```sql\n([^`]+)```/g)].map((match) => match[1] ?? '');

describe('docs/sql-door.md', () => {
  const role = `shop_${randomBytes(6).toString('hex')}`;
  let stage: Stage;
  beforeAll(async () => {
    stage = await Stage.open();
    await stage.sql.unsafe(`create role ${role}; create table orders (id int primary key, total numeric)`);
  });
  afterAll(async () => {
    await stage.sql.unsafe(`drop owned by ${role}; drop role ${role}`);
    await stage.close();
  });

  it('has examples that run', async () => {
    expect(examples).toHaveLength(4);
    const connection = await stage.sql.reserve();
    for (const example of examples) await connection.unsafe(example.replaceAll('TO shop;', `TO ${role};`)).simple();
    const [own] = await connection<{ id: string }[]>`select enqueue_mail('\\x00', 'k') as id`;
    connection.release();
    const [job] = await stage.sql`select id, namespace from stint.job where idempotency_key = 'k'`;
    expect(job).toEqual({ id: own?.id, namespace: 'shop' });
    const [confirmed] = await stage.sql`select convert_from(payload, 'UTF8') as payload from stint.job where type = 'order.confirm'`;
    expect(confirmed).toEqual({ payload: '{"order":17}' });
    const [granted] = await stage.sql`select has_function_privilege(${role}, 'stint.enqueue'::regproc::oid, 'execute') as granted`;
    expect(granted).toEqual({ granted: true });
  });

  it('names each argument with its type, in order', () => {
    const rows = [...page.matchAll(/^\| `([a-z_]+)` \| `([^`]+)` \|/gm)].map((match) => [match[1], match[2]]);
    expect(rows).toEqual(Object.entries(DOOR_ARGUMENTS));
  });
});
