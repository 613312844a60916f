import { Placeholder, sql, type SQL } from 'drizzle-orm';
import { PgDialect } from 'drizzle-orm/pg-core';

/** What a parameter may be on its way to the driver: arrays travel as literals, see `array.ts`. */
export type Value = string | number | boolean | null | Uint8Array;

/**
 * A named statement, rendered once. Every use of a parameter is the same `$n`, so `shard` may stand on every table
 * without travelling twice. `P` names the parameters it takes.
 */
export interface Statement<P extends string> {
  readonly name: string;
  readonly text: string;
  readonly parameters: readonly (P | 'shard')[];
}

/** A parameter of a statement; cast it (`${param('jobs')}::uuid[]`), or the server must guess. */
export function param(name: string): Placeholder {
  return sql.placeholder(name);
}

/** The one shard a statement touches, on every table reference; its database binds it. */
export const shard = sql`${param('shard')}::smallint`;

const dialect = new PgDialect();

export function statement<P extends string>(title: string, query: SQL): Statement<P> {
  const rendered = dialect.sqlToQuery(query);
  const parameters: string[] = [];
  const text = rendered.sql.replace(/\$(\d+)/g, (_, position: string) => {
    const value = rendered.params[Number(position) - 1];
    // Constants of ours (event codes, limits) are part of the text: the planner may know them.
    if (Number.isSafeInteger(value)) return String(value);
    if (!(value instanceof Placeholder)) throw new Error(`${title}: a value was written into the statement`);
    const name: string = value.name;
    let index = parameters.indexOf(name);
    if (index < 0) index = parameters.push(name) - 1;
    return `$${index + 1}`;
  });
  return { name: title, text: `/* ${title} */ ${text}`, parameters: parameters as (P | 'shard')[] };
}
