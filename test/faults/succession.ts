import { expect } from 'vitest';
import type { Job } from '../../gen/stint/v1/job.ts';
import { connect, held, type Held, seconds, type Stint } from '../contract/stint.ts';
import { takeDump } from '../support/dump.ts';
import { PostgresServer } from '../support/postgres-server.ts';
import { type Replica, startReplicas } from '../support/replicas.ts';
import { buildService } from '../support/service-process.ts';
import { askAnew } from './recovery.ts';

export const NAMESPACE = 'shop';
/** Outlasts a file of tests. */
const LEASE = seconds(300);

/** Two replicas of the service, and the database servers that take the place of one another behind them. */
export class Succession {
  readonly replicas: readonly Replica[];
  readonly stints: readonly Stint[];
  readonly #servers: PostgresServer[];
  #turn = 0;

  private constructor(server: PostgresServer, replicas: readonly Replica[]) {
    this.#servers = [server];
    this.replicas = replicas;
    this.stints = replicas.map(({ address }) => connect(address));
  }

  /** `end` it: then `first` is removed too. */
  static async over(first: PostgresServer): Promise<Succession> {
    buildService();
    return new Succession(first, await startReplicas(first.url, 2));
  }

  /** The one that serves, or was the last to. */
  get server(): PostgresServer {
    return this.#servers.at(-1) ?? expect.unreachable();
  }

  /** The replicas in turn. */
  anyone(): Stint {
    this.#turn += 1;
    return this.stints[this.#turn % this.stints.length] ?? expect.unreachable();
  }

  /** A job of a queue and a key of its own name. */
  async enqueue(name: string, jobId = ''): Promise<Job> {
    const { job } = await this.anyone().enqueue({ namespace: NAMESPACE, job: { queue: name, type: 't', idempotencyKey: name, jobId } });
    return job ?? expect.unreachable();
  }

  /** Safe to repeat. */
  async claim(queue: string, leaseDuration = LEASE): Promise<Held> {
    const request = { namespace: NAMESPACE, workerId: 'w', queues: [queue], requestId: queue, leaseDuration, wait: seconds(10) };
    const { jobs } = await this.anyone().claim(request);
    return held(jobs[0]);
  }

  async job(jobId: string): Promise<Job> {
    const { job } = await this.anyone().getJob({ namespace: NAMESPACE, jobId });
    return job ?? expect.unreachable();
  }

  /** Another server with all that this one holds now, on a port of its own. */
  async restoreAside(): Promise<PostgresServer> {
    const dump = await takeDump(this.server.url);
    const restored = await PostgresServer.create();
    await dump.restoreInto(restored.url);
    console.log(`dumped and restored by ${dump.tool}`);
    return restored;
  }

  /** What the present server holds by now is lost. */
  async swapTo(next: PostgresServer): Promise<void> {
    await this.server.stop();
    await next.takePlaceOf(this.server);
    this.#servers.push(next);
  }

  /** Until every replica answers everything; tells on standard output how long that took. */
  async untilServed(event: string): Promise<void> {
    const beganAt = performance.now();
    const elapsed = () => Math.round(performance.now() - beganAt);
    const served = await Promise.all(this.stints.map((stint) => askAnew(stint, elapsed)));
    console.log(`milliseconds until each replica answered, after ${event}:`);
    console.table(served);
  }

  async end(): Promise<void> {
    for (const stint of this.stints) stint.close();
    for (const replica of this.replicas) await replica.close();
    for (const server of this.#servers) await server.remove();
  }
}
