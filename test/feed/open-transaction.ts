import { randomUUID } from 'node:crypto';
import postgres from 'postgres';
import { parseJobId, type JobId } from '../../src/domain/job.ts';
import type { LeaseToken } from '../../src/domain/lease.ts';
import type { Queue } from '../../src/domain/queue.ts';
import { bind, type Run } from '../../src/repository/database.ts';
import { enqueueMany } from '../../src/repository/jobs/enqueue-many.ts';
import { ackMany } from '../../src/repository/workers/ack.ts';
import { spec } from './work.ts';

const INSTANTS_AS_TEXT = { to: 1184, from: [1184], serialize: String, parse: (value: string) => value };

/** The service's own statements, in a transaction that stays open until the test ends it. */
export class OpenTransaction {
  readonly #run: Run;
  readonly #end: (how: 'commit' | 'rollback') => Promise<void>;

  private constructor(run: Run, end: (how: 'commit' | 'rollback') => Promise<void>) {
    this.#run = run;
    this.#end = end;
  }

  static async begin(url: string): Promise<OpenTransaction> {
    // One connection and no other: what it is sent is in the transaction.
    const client = postgres(url, { max: 1, fetch_types: false, types: { date: INSTANTS_AS_TEXT }, connection: { TimeZone: 'UTC' } });
    await client`begin`;
    // The transaction has its id from here on, whatever it writes later.
    await client`select pg_current_xact_id()`;
    const run: Run = (statement, values) => client.unsafe(statement.text, bind(statement, values));
    return new OpenTransaction(run, async (how) => {
      await (how === 'commit' ? client`commit` : client`rollback`);
      await client.end();
    });
  }

  /** One statement, one row of the journal. */
  async enqueue(queue: Queue, count: number): Promise<readonly JobId[]> {
    const items = Array.from({ length: count }, () => ({ queue, jobId: newJobId(), spec: spec(), digest: Buffer.alloc(32) }));
    await enqueueMany(this.#run, null, items);
    return items.map(({ jobId }) => jobId);
  }

  async ack(token: LeaseToken): Promise<void> {
    const [outcome] = await ackMany(this.#run, null, [{ token, result: Buffer.alloc(0), contentType: '' }]);
    if (outcome?.kind !== 'applied') throw new Error(`the ack was ${outcome?.kind}`);
  }

  commit(): Promise<void> {
    return this.#end('commit');
  }

  rollback(): Promise<void> {
    return this.#end('rollback');
  }
}

/** A UUIDv7 of this moment. */
function newJobId(): JobId {
  const at = Date.now().toString(16).padStart(12, '0');
  const jobId = parseJobId(`${at.slice(0, 8)}-${at.slice(8)}-7${randomUUID().slice(15)}`);
  if (jobId === null) throw new Error('made no job id');
  return jobId;
}
