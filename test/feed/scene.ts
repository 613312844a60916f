import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll } from 'vitest';
import type { Engine, Subscribe } from '../../src/engine/engine.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { Follower, query } from './follower.ts';
import { startReplica, type Replica, type ReplicaOptions } from './replica.ts';

export interface Scene {
  readonly database: TestDatabase;
  /** Nobody else's. */
  namespace(): string;
  /** Another process over the same database; closed after the test. */
  replica(options?: ReplicaOptions): Promise<Replica>;
  /** Left after the test. */
  follow(engine: Engine, namespace: string, partial?: Partial<Subscribe>): Follower;
}

/** A database for the tests of a file; what a test opens is closed when it ends. */
export function useScene(): Scene {
  let database: TestDatabase | null = null;
  const followers: Follower[] = [];
  const replicas: Replica[] = [];
  beforeAll(async () => {
    database = await createDatabase();
  });
  afterEach(async () => {
    await Promise.all(followers.splice(0).map((follower) => follower.leave()));
    await Promise.all(replicas.splice(0).map((replica) => replica.close()));
  });
  afterAll(() => database?.drop());
  return {
    get database() {
      if (database === null) throw new Error('no test runs');
      return database;
    },
    namespace: () => `n-${randomUUID()}`,
    async replica(options) {
      const replica = await startReplica(this.database, options);
      replicas.push(replica);
      return replica;
    },
    follow(engine, namespace, partial) {
      const follower = new Follower(engine, query(namespace, partial));
      followers.push(follower);
      return follower;
    },
  };
}
