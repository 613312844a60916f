import { Client } from 'pg';

/** Takes a peer's schema away: what earlier measurements left would slow the next ones. */
export async function dropSchema(target, schema) {
  await onConnection(target, (client) => client.query(`drop schema if exists ${schema} cascade`));
}

/** So that nobody is measured on what the planner knew of empty tables. */
export async function analyze(target) {
  await onConnection(target, (client) => client.query('analyze'));
}

async function onConnection(target, work) {
  const client = new Client({ connectionString: target });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
