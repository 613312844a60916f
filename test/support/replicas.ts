import { loopback } from '../../src/embedded/free-port.ts';
import { findLastingPort } from './lasting-port.ts';
import { type ServiceProcess, spawnService } from './service-process.ts';

const PORT_TRIES = 5;

/** A process of the service over a database that others share, on ports that it keeps when it is started again. */
export class Replica {
  /** Of gRPC: `host:port`. */
  readonly address: string;
  readonly #environment: Record<string, string>;
  #service: ServiceProcess;

  private constructor(address: string, environment: Record<string, string>) {
    this.address = address;
    this.#environment = environment;
    this.#service = spawnService(environment);
  }

  /** Serves when it is given; `buildService` must have been called. Ends with `close` only. */
  static async start(databaseUrl: string, environment: Readonly<Record<string, string>> = {}): Promise<Replica> {
    for (let tries = 1; ; tries += 1) {
      const address = `${loopback}:${await findLastingPort()}`;
      const replica = new Replica(address, {
        DATABASE_URL: databaseUrl,
        STINT_LISTEN: address,
        STINT_ADMIN_LISTEN: `${loopback}:${await findLastingPort()}`,
        STINT_LOG_LEVEL: 'warn',
        ...environment,
      });
      try {
        await replica.#untilServing();
        return replica;
      } catch (error) {
        // Another test has found the same port free at the same moment.
        if (tries === PORT_TRIES || !(error instanceof Error && error.message.includes('is taken'))) throw error;
      }
    }
  }

  get pid(): number {
    const { pid } = this.#service.child;
    if (pid === undefined) throw new Error('the replica could not be started');
    return pid;
  }

  /** SIGKILL. Resolves when it has ended. */
  async kill(): Promise<void> {
    this.#service.child.kill('SIGKILL');
    await this.#service.ended;
  }

  /** SIGTERM: it drains. Gives its exit code when it has ended. */
  async terminate(): Promise<number | null> {
    this.#service.child.kill('SIGTERM');
    return (await this.#service.ended).code;
  }

  /** SIGSTOP: it stands still, with all that it holds, until `cont`. */
  stop(): void {
    this.#service.child.kill('SIGSTOP');
  }

  cont(): void {
    this.#service.child.kill('SIGCONT');
  }

  /** After it has ended. Resolves when it serves on the same address. */
  async restart(): Promise<void> {
    this.#service = spawnService(this.#environment);
    await this.#untilServing();
  }

  /** Whatever state it is in. */
  async close(): Promise<void> {
    await this.kill();
  }

  async #untilServing(): Promise<void> {
    if ((await this.#service.serving) !== null) return;
    const { log } = await this.#service.ended;
    throw new Error(`the replica did not start: ${log}`);
  }
}

/** As many replicas over one database, with what else is set for all of them; none is left where one does not start. */
export async function startReplicas(
  databaseUrl: string,
  count: number,
  environment: Readonly<Record<string, string>> = {},
): Promise<Replica[]> {
  const starting = await Promise.allSettled(Array.from({ length: count }, () => Replica.start(databaseUrl, environment)));
  const started = starting.filter((one) => one.status === 'fulfilled').map(({ value }) => value);
  const failed = starting.find((one) => one.status === 'rejected');
  if (failed === undefined) return started;
  await Promise.all(started.map((replica) => replica.close()));
  throw failed.reason;
}
