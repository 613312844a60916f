/** What a `request_id` was answered: a repeated request is answered the same, and does nothing again. */
import { sql } from 'drizzle-orm';
import type { OperateItem } from '../engine/ports/repository.ts';
import { byteaArray, plainArray, textArray } from './array.ts';
import { clock } from './clock.ts';
import type { Run } from './database.ts';
import { bytes, int, text } from './row.ts';
import { param, shard, statement } from './statement.ts';

type KeyParam = 'n' | 'namespaces' | 'rpc' | 'requestIds';

const keys = sql`${param('n')}::int[], ${param('namespaces')}::text[], ${param('requestIds')}::text[]`;

/** Whoever asks at the same time under the same id waits here for the other's commit. Answers come later, in the same transaction. */
const openStatement = statement<KeyParam | 'now' | 'digests'>(
  'open-requests',
  sql`with ${clock}
  insert into stint.request (shard, namespace, rpc, request_id, digest, at, answer)
  select ${shard}, i.namespace, ${param('rpc')}::text, i.request_id, i.digest, c.now, ''
    from unnest(${keys}, ${param('digests')}::bytea[]) as i(n, namespace, request_id, digest) cross join c
   order by i.namespace, i.request_id
  on conflict (shard, namespace, rpc, request_id) do nothing
  returning namespace, request_id`,
);

const recallStatement = statement<KeyParam>(
  'recall-requests',
  sql`select i.n, r.digest, r.answer from unnest(${keys}) as i(n, namespace, request_id)
    cross join lateral (
      select * from stint.request where shard = ${shard} and namespace = i.namespace and rpc = ${param('rpc')}::text and request_id = i.request_id offset 0) r`,
);

const answerStatement = statement<KeyParam | 'answers'>(
  'answer-requests',
  sql`update stint.request r set answer = i.answer from unnest(${keys}, ${param('answers')}::text[]) as i(n, namespace, request_id, answer)
     where r.shard = ${shard} and r.namespace = i.namespace and r.rpc = ${param('rpc')}::text and r.request_id = i.request_id`,
);

/** A refusal is not remembered: what was refused may be asked again. */
const forgetStatement = statement<KeyParam>(
  'forget-requests',
  sql`delete from stint.request r using unnest(${keys}) as i(n, namespace, request_id)
     where r.shard = ${shard} and r.namespace = i.namespace and r.rpc = ${param('rpc')}::text and r.request_id = i.request_id`,
);

export interface Remembered {
  readonly digest: Uint8Array;
  readonly answer: string;
}

type Keyed = Pick<OperateItem, 'namespace' | 'request'>;

/** Opens those that were never asked; for the others what they were answered, by their place. Items without an id are left out. */
export async function openRequests(
  run: Run,
  now: string | null,
  rpc: string,
  items: readonly Keyed[],
): Promise<ReadonlyMap<number, Remembered>> {
  const asked = keyed(items);
  if (asked.length === 0) return new Map();
  const digests = byteaArray(asked.map(({ request }) => request.digest));
  const opened = await run(openStatement, { now, rpc, ...columns(asked), digests });
  const fresh = new Set(opened.map((row) => keyOf(text(row, 'namespace'), text(row, 'request_id'))));
  const former = asked.filter(({ namespace, request }) => !fresh.has(keyOf(namespace, request.requestId)));
  if (former.length === 0) return new Map();
  const rows = await run(recallStatement, { rpc, ...columns(former) });
  return new Map(rows.map((row) => [int(row, 'n'), { digest: bytes(row, 'digest'), answer: text(row, 'answer') }]));
}

/** Writes down what those were answered that were opened; null is a refusal. */
export async function answerRequests(
  run: Run,
  rpc: string,
  items: readonly Keyed[],
  answers: ReadonlyMap<number, string | null>,
): Promise<void> {
  const asked = keyed(items).flatMap((one) => (answers.has(one.n) ? [{ ...one, answer: answers.get(one.n) ?? null }] : []));
  const told = asked.filter(({ answer }) => answer !== null);
  const refused = asked.filter(({ answer }) => answer === null);
  if (told.length > 0) await run(answerStatement, { rpc, ...columns(told), answers: textArray(told.map(({ answer }) => answer)) });
  if (refused.length > 0) await run(forgetStatement, { rpc, ...columns(refused) });
}

function keyed(items: readonly Keyed[]) {
  return items.flatMap(({ namespace, request }, n) => (request === null ? [] : [{ n, namespace, request }]));
}

function columns(asked: ReturnType<typeof keyed>) {
  return {
    n: plainArray(asked.map(({ n }) => n)),
    namespaces: textArray(asked.map(({ namespace }) => namespace)),
    requestIds: textArray(asked.map(({ request }) => request.requestId)),
  };
}

export function keyOf(namespace: string, requestId: string): string {
  return JSON.stringify([namespace, requestId]);
}
