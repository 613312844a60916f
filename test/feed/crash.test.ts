import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type JobId, type JobSpec, NO_TIMEOUTS } from '../../src/domain/job.ts';
import type { Queue } from '../../src/domain/queue.ts';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/embedded/embedded-postgres.ts';
import { JobIdMint } from '../../src/engine/jobs/mint-job-id.ts';
import { DATABASE_CLOCK } from '../../src/engine/ports/clock.ts';
import { openStore, type Store } from '../../src/repository/store.ts';

const ROUNDS = 12;
const BACK_WITHIN_MS = 20_000;

const spec: JobSpec = {
  queue: 'q',
  type: '',
  payload: new Uint8Array(),
  contentType: '',
  headers: {},
  labels: {},
  jobId: null,
  idempotency: null,
  onDuplicate: 'RETURN_EXISTING',
  priority: 0,
  runAt: null,
  concurrencyKey: '',
  timeouts: NO_TIMEOUTS,
  disposition: 'RERUNNABLE' as const,
  fairnessKey: '',
  retry: { maxAttempts: null, initialBackoffMs: null, multiplier: null, maxBackoffMs: null, jitter: null, nonRetryableCodes: null },
};

describe('a follower', () => {
  let server: EmbeddedPostgres;
  let store: Store;
  let queue: Queue;
  const dataDir = mkdtempSync(join(tmpdir(), 'stint-crash-'));
  const mint = new JobIdMint();

  beforeAll(async () => {
    // Durable: what is lost in a crash must be just what was never flushed.
    server = await startEmbeddedPostgres({ dataDir, log: () => undefined });
    store = await openStore({ url: server.url, clock: DATABASE_CLOCK, random: () => 0 });
    await store.repository.ensurePartitions();
    const [made] = await store.repository.createQueues([{ namespace: 'default', name: 'q' }]);
    if (made === undefined) throw new Error('no queue');
    queue = made;
  });
  afterAll(async () => {
    await store.close();
    await server.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });

  async function enqueue(): Promise<JobId> {
    const jobId = mint.mint();
    await store.repository.enqueueMany([{ queue, jobId, spec, digest: Buffer.alloc(32) }]);
    return jobId;
  }

  /** Takes a transaction id and rolls back, so that nothing of it is flushed; then has the server crash. */
  async function crash(): Promise<{ rolledBack: bigint; position: Awaited<ReturnType<Store['journal']['head']>> }> {
    const sql = postgres(server.url, { max: 1, onnotice: () => undefined });
    await sql.unsafe('begin');
    const [row] = await sql.unsafe('select pg_current_xact_id()::text as xid, pg_backend_pid() as pid');
    await sql.unsafe('rollback');
    const position = await store.journal.head();
    process.kill(Number(row?.['pid']), 'SIGKILL');
    await sql.end({ timeout: 1 }).catch(() => undefined);
    return { rolledBack: BigInt(String(row?.['xid'])), position };
  }

  it('misses nothing after a crash in which the database hands out transaction ids again', { timeout: 120_000 }, async () => {
    let reused = 0;
    for (let round = 0; round < ROUNDS && reused < 2; round += 1) {
      await enqueue();
      const { rolledBack, position } = await crash();
      const jobId = await vi.waitFor(enqueue, { timeout: BACK_WITHIN_MS, interval: 20 });
      // A connection that outlived the crash for a moment may have taken the job before the others were cut.
      const [row] = await vi.waitFor(() => xidOf(jobId), { timeout: BACK_WITHIN_MS, interval: 20 });
      if (BigInt(String(row?.['xid'])) <= rolledBack) reused += 1;
      const { events } = await store.journal.read(position, null);
      expect(events.map(({ event }) => event.jobId)).toContain(jobId);
    }
    expect(reused, `no transaction id was reused in ${ROUNDS} crashes: nothing was shown`).toBeGreaterThan(0);
  });

  async function xidOf(jobId: JobId) {
    const sql = postgres(server.url, { max: 1, onnotice: () => undefined });
    try {
      return await sql`select xid::text from stint.journal where jobs @> array[${jobId}::uuid]`;
    } finally {
      await sql.end({ timeout: 1 });
    }
  }
});
