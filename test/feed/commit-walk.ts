import { randomUUID } from 'node:crypto';
import type { JobId } from '../../src/domain/job.ts';
import type { LeaseToken } from '../../src/domain/lease.ts';
import type { Queue } from '../../src/domain/queue.ts';
import type { TestDatabase } from '../support/database.ts';
import { keyOf } from './follower.ts';
import { OpenTransaction } from './open-transaction.ts';
import type { Replica } from './replica.ts';
import { ResumingReader } from './resuming-reader.ts';
import { ack, claim, enqueueTogether } from './work.ts';

export type CommitStep =
  /** In a transaction that stays open. */
  | { readonly do: 'write'; readonly writer: number; readonly jobs: number }
  | { readonly do: 'end'; readonly writer: number; readonly how: string }
  | { readonly do: 'enqueue'; readonly jobs: number }
  | { readonly do: 'claim'; readonly maxJobs: number }
  /** In the transaction of that writer, or at once. */
  | { readonly do: 'ack'; readonly lease: number; readonly writer: number | null }
  /** The replica reads what is visible at this moment: a boundary between two windows. */
  | { readonly do: 'look'; readonly replica: number }
  | { readonly do: 'resume'; readonly reader: number; readonly replica: number; readonly at: number };

/** What one request did, and the moments at which it was sent and answered. */
interface Done {
  readonly keys: readonly string[];
  readonly sent: number;
  answered: number;
}

interface Writer {
  readonly transaction: OpenTransaction;
  readonly done: Done[];
}

/** Writers that hold their transactions open and end them in any order, before the eyes of readers who come and go. */
export class CommitWalk {
  readonly readers: readonly ResumingReader[];
  readonly #namespace: string;
  readonly #queue: Queue;
  readonly #database: TestDatabase;
  readonly #replicas: readonly Replica[];
  readonly #writers = new Map<number, Writer>();
  readonly #done: Done[] = [];
  /** Lease tokens, each with what its ack will tell. */
  readonly #leases: { readonly token: LeaseToken; readonly ack: string }[] = [];
  #moment = 0;

  private constructor(database: TestDatabase, replicas: readonly Replica[], queue: Queue) {
    this.#database = database;
    this.#replicas = replicas;
    this.#queue = queue;
    this.#namespace = queue.namespace;
    this.readers = [0, 1, 2].map((reader) => new ResumingReader(this.#engine(reader), this.#namespace));
  }

  static async begin(database: TestDatabase, replicas: readonly Replica[]): Promise<CommitWalk> {
    const queues = await replicas[0]?.store.repository.createQueues([{ namespace: `run-${randomUUID()}`, name: 'q' }]);
    const [queue] = queues ?? [];
    if (queue === undefined) throw new Error('no queue was made');
    return new CommitWalk(database, replicas, queue);
  }

  get committedKeys(): readonly string[] {
    return this.#done.flatMap(({ keys }) => keys);
  }

  async do(step: CommitStep): Promise<void> {
    switch (step.do) {
      case 'write':
        return this.#inTransaction(step.writer, async (transaction) => enqueuedKeys(await transaction.enqueue(this.#queue, step.jobs)));
      case 'end':
        return this.#endWriter(step.writer, step.how);
      case 'enqueue':
        return this.#atOnce(() => this.#enqueue(step.jobs));
      case 'claim':
        return this.#atOnce(() => this.#claim(step.maxJobs));
      case 'ack':
        return this.#ack(step.lease, step.writer);
      case 'look':
        return this.#replicas[step.replica]?.hub.refresh();
      case 'resume':
        return this.readers[step.reader]?.resume(this.#engine(step.replica), step.at);
    }
  }

  /** Commits what is open, and waits until every reader has what was committed last of all. */
  async finish(): Promise<void> {
    for (const writer of [...this.#writers.keys()]) await this.#endWriter(writer, 'commit');
    await this.#atOnce(() => this.#enqueue(1));
    const [last] = this.#done.at(-1)?.keys ?? [];
    await Promise.all(this.readers.map((reader) => reader.until(last ?? '')));
  }

  async end(): Promise<void> {
    for (const { transaction } of this.#writers.values()) await transaction.rollback();
    this.#writers.clear();
    await Promise.all(this.readers.map((reader) => reader.leave()));
  }

  /** Pairs where the first was answered before the second was sent, and was told after it. */
  causesAfterEffects(keys: readonly string[]): readonly string[] {
    const positions = new Map(keys.map((key, index) => [key, index]));
    const told = this.#done
      .filter((done) => done.keys.length > 0)
      .map((done) => ({ ...done, at: done.keys.map((key) => positions.get(key) ?? -1) }))
      .map((done) => ({ ...done, first: Math.min(...done.at), last: Math.max(...done.at) }));
    return told.flatMap((cause) =>
      told
        .filter((effect) => cause.answered < effect.sent && effect.first < cause.last)
        .map((effect) => `${cause.keys[0]} → ${effect.keys[0]}`),
    );
  }

  #engine(replica: number): Replica['engine'] {
    const found = this.#replicas[replica % this.#replicas.length];
    if (found === undefined) throw new Error('no replica');
    return found.engine;
  }

  async #atOnce(work: () => Promise<readonly string[]>): Promise<void> {
    const sent = (this.#moment += 1);
    const keys = await work();
    this.#done.push({ keys, sent, answered: (this.#moment += 1) });
  }

  async #inTransaction(index: number, work: (transaction: OpenTransaction) => Promise<readonly string[]>): Promise<void> {
    const writer = this.#writers.get(index) ?? { transaction: await OpenTransaction.begin(this.#database.url), done: [] };
    this.#writers.set(index, writer);
    const sent = (this.#moment += 1);
    writer.done.push({ keys: await work(writer.transaction), sent, answered: Infinity });
  }

  /** What a transaction did is answered when it has committed, and never where it has not. */
  async #endWriter(index: number, how: string): Promise<void> {
    const writer = this.#writers.get(index);
    if (writer === undefined) return;
    this.#writers.delete(index);
    if (how === 'rollback') return writer.transaction.rollback();
    await writer.transaction.commit();
    const answered = (this.#moment += 1);
    this.#done.push(...writer.done.map((done) => ({ ...done, answered })));
  }

  async #enqueue(count: number): Promise<readonly string[]> {
    return enqueuedKeys(await enqueueTogether(this.#engine(0), this.#namespace, count));
  }

  async #claim(maxJobs: number): Promise<readonly string[]> {
    const taken = await claim(this.#engine(1), this.#namespace, { maxJobs });
    this.#leases.push(...taken.map(({ jobId, token }) => ({ token, ack: keyOf({ jobId, sequence: 4 }) })));
    return taken.flatMap(({ jobId }) => [2, 3].map((sequence) => keyOf({ jobId, sequence })));
  }

  async #ack(index: number, writer: number | null): Promise<void> {
    const [lease] = this.#leases.splice(index % Math.max(1, this.#leases.length), 1);
    if (lease === undefined) return;
    const acked = [lease.ack];
    if (writer !== null) return this.#inTransaction(writer, (transaction) => transaction.ack(lease.token).then(() => acked));
    await this.#atOnce(() => ack(this.#engine(0), lease.token).then(() => acked));
  }
}

function enqueuedKeys(jobIds: readonly JobId[]): readonly string[] {
  return jobIds.map((jobId) => keyOf({ jobId, sequence: 1 }));
}
