import { expect, it, onTestFinished, vi } from 'vitest';
import { Scene } from '../contract/scene.ts';
import { connect, held, seconds } from '../contract/stint.ts';
import { createDatabase } from '../support/database.ts';
import { startReplicas } from '../support/replicas.ts';
import { buildService } from '../support/service-process.ts';

const LIMIT_MS = 180_000;
const AWAITS = 1_000;
/** Awaits that nobody woke look again after some minutes. */
const PATIENCE_MS = 25_000;

it(
  'a thousand awaits wake though the replica that ended their jobs is killed as soon as it has committed',
  { timeout: LIMIT_MS },
  async () => {
    buildService();
    const database = await createDatabase();
    onTestFinished(async () => await database.drop());
    const replicas = await startReplicas(database.url, 2);
    onTestFinished(async () => void (await Promise.all(replicas.map((replica) => replica.close()))));
    const [here, killed] = replicas.map(({ address }) => connect(address));
    if (here === undefined || killed === undefined) throw new Error('there are two replicas');
    onTestFinished(() => [here, killed].forEach((stint) => stint.close()));
    const { namespace, queue } = new Scene(here);
    await here.enqueueBatch({ namespace, jobs: Array.from({ length: AWAITS }, () => ({ queue })) });
    const { jobs } = await here.claim({ namespace, workerId: 'w', queues: [queue], maxJobs: AWAITS, leaseDuration: seconds(600) });
    const leases = jobs.map((one) => held(one));
    const awaits = leases.map(({ jobId }) => here.awaitTerminal({ namespace, jobId }, LIMIT_MS));
    const several = here.awaitJobs({ namespace, jobIds: leases.map(({ jobId }) => jobId) }, LIMIT_MS);
    for (const message of await Promise.all(awaits.map((one) => one.next()))) expect(message.terminal).toBe(false);
    expect((await several.next()).remaining).toBe(AWAITS);
    const settlements = leases.map(({ leaseToken }) => ({ leaseToken, action: { $case: 'ack' as const, ack: {} } }));
    // Its answer may come or not: what it has committed counts.
    const answer = killed.settle({ settlements }).catch(() => null);
    await vi.waitFor(
      async () => {
        const [row] = await database.sql<{ ended: number }[]>`select count(*)::int as ended from stint.terminal`;
        expect(row?.ended).toBe(AWAITS);
      },
      { timeout: LIMIT_MS, interval: 1 },
    );
    await replicas[1]?.kill();
    const giveUp = setTimeout(() => [...awaits, several].forEach((one) => one.cancel()), PATIENCE_MS);
    onTestFinished(() => clearTimeout(giveUp));
    await answer;
    const ends = await Promise.all(awaits.map((one) => one.rest()));
    expect(ends.filter((messages) => messages.at(-1)?.terminal !== true)).toEqual([]);
    expect((await several.rest()).flatMap((message) => message.jobs)).toHaveLength(AWAITS);
  },
);
