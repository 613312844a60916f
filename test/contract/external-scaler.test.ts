/** `externalscaler.ExternalScaler`, as KEDA calls it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Disposition } from '../../gen/stint/v1/job.ts';
import { OperatorAction } from '../../gen/stint/v1/queue_service.ts';
import { StartMode } from '../../gen/stint/v1/worker_service.ts';
import { startService, type TestService } from '../support/service.ts';
import { type Said, Trigger } from './keda-trigger.ts';
import { Scene, useService } from './scene.ts';
import { codeOf, connect, fromNow, reasonOf, refusal } from './stint.ts';

const scene = useService();

/** As KEDA sends it: with what it needs for itself. */
const triggerOf = ({ stint, namespace, queue }: Scene, metadata: Said = {}) =>
  new Trigger(stint, { scalerAddress: 'stint.default:50051', namespace, queue, ...metadata });

const put = ({ stint, namespace, queue: name }: Scene, maxInFlight: number) =>
  stint.putQueue({ namespace, queue: { name, maxInFlight }, updateMask: ['max_in_flight'] });

const act = ({ stint, namespace, queue }: Scene, action: OperatorAction) => stint.applyAction({ namespace, queue, action, reason: 'test' });

describe('by the backlog', () => {
  it('tells what is claimable or in flight, and nothing else', async () => {
    const one = scene();
    const trigger = triggerOf(one);
    for (let count = 0; count < 5; count += 1) await one.enqueue();
    await one.enqueue({ runAt: fromNow(3_600) });
    await one.enqueue({ disposition: Disposition.EXTERNALLY_OWNED });
    expect(await trigger.value()).toBe(5);
    const held = await one.claimOne();
    await one.claimOne({ start: StartMode.EXPLICIT });
    expect(await trigger.value()).toBe(5);
    await one.stint.ack({ leaseToken: held.leaseToken });
    expect(await trigger.value()).toBe(4);
    expect(await trigger.metrics()).toEqual([{ metricName: 'stint-backlog', metricValue: 4n, metricValueFloat: 4 }]);
  });

  it('counts a worker for the jobs it holds, also where nothing waits', async () => {
    const one = scene();
    const { leaseToken } = await one.enqueueAndClaim();
    const trigger = triggerOf(one, { activationThreshold: '5' });
    expect([await trigger.value(), await trigger.isActive()]).toEqual([1, true]);
    await one.stint.ack({ leaseToken });
    expect([await trigger.value(), await trigger.isActive()]).toEqual([0, false]);
  });

  it('counts what no worker could claim for nothing: behind max_in_flight, in a queue that is stopped', async () => {
    const one = scene();
    const trigger = triggerOf(one);
    for (let count = 0; count < 6; count += 1) await one.enqueue();
    await put(one, 4);
    expect(await trigger.value()).toBe(4);
    await one.claimOne();
    expect(await trigger.value()).toBe(4);
    await act(one, OperatorAction.PAUSE);
    expect([await trigger.value(), await trigger.isActive()]).toEqual([1, true]);
    await act(one, OperatorAction.RESUME);
    expect(await trigger.value()).toBe(4);
    await one.stint.applyAction({ namespace: one.namespace, action: OperatorAction.PAUSE, reason: 'test' });
    expect(await trigger.value()).toBe(1);
  });

  it('is active above the threshold only', async () => {
    const one = scene();
    await one.enqueue();
    await one.enqueue();
    expect(await triggerOf(one).isActive()).toBe(true);
    expect(await triggerOf(one, { activationThreshold: '1.5' }).isActive()).toBe(true);
    expect(await triggerOf(one, { activationThreshold: '2' }).isActive()).toBe(false);
  });
});

describe('by the oldest age', () => {
  it('tells for how many seconds the first has been READY', async () => {
    const one = scene();
    const trigger = triggerOf(one, { scaleBy: 'oldest_age', targetAgeSeconds: '20' });
    const { createdAt } = await one.enqueue();
    await one.later(0.2);
    const value = await trigger.value();
    expect(value).toBeGreaterThan(0.2);
    expect(value).toBeLessThanOrEqual((Date.now() - Number(createdAt?.seconds) * 1_000) / 1_000 + 1);
    expect(await trigger.metrics()).toMatchObject([{ metricName: 'stint-oldest-age-seconds', metricValue: 1n }]);
    expect(await trigger.isActive()).toBe(true);
    expect(await triggerOf(one, { scaleBy: 'oldest_age', activationThreshold: '3600' }).isActive()).toBe(false);
    await act(one, OperatorAction.PAUSE);
    expect([await trigger.value(), await trigger.isActive()]).toEqual([0, false]);
    await act(one, OperatorAction.RESUME);
    await one.claimOne();
    expect([await trigger.value(), await trigger.isActive()]).toEqual([0, true]);
  });
});

describe('GetMetricSpec', () => {
  it.each<[Said, string, number, bigint]>([
    [{}, 'stint-backlog', 10, 10n],
    [{ scaleBy: 'backlog', targetSize: '2.5' }, 'stint-backlog', 2.5, 3n],
    [{ scaleBy: 'oldest_age' }, 'stint-oldest-age-seconds', 30, 30n],
    [{ scaleBy: 'oldest_age', targetAgeSeconds: '0.25' }, 'stint-oldest-age-seconds', 0.25, 1n],
  ])('of %o tells the target as a float, and rounded up', async (metadata, metricName, targetSizeFloat, targetSize) => {
    const trigger = new Trigger(scene().stint, { queue: 'not-there-yet', ...metadata });
    expect(await trigger.metricSpecs()).toEqual([{ metricName, targetSize, targetSizeFloat }]);
  });
});

describe('a trigger', () => {
  it('may take what it says from the environment of the workload', async () => {
    const one = scene();
    await one.enqueue();
    const trigger = new Trigger(one.stint, { namespaceFromEnv: one.namespace, queueFromEnv: one.queue, enableTLS: 'false' });
    expect(await trigger.value()).toBe(1);
  });

  it.each<[Said, string[]]>([
    [{}, ['queue']],
    [{ queue: 'a b' }, ['queue']],
    [{ queue: 'q', namespace: 'no/name' }, ['namespace']],
    [{ queue: 'q', targetsize: '3' }, ['targetsize']],
    [{ queue: 'q', queueFromEnv: 'r' }, ['queueFromEnv']],
    [{ queue: 'q', scaleBy: 'depth' }, ['scaleBy']],
    [{ queue: 'q', targetSize: '0' }, ['targetSize']],
    [{ queue: 'q', targetSize: '-1' }, ['targetSize']],
    [{ queue: 'q', targetSize: '1e3' }, ['targetSize']],
    [{ queue: 'q', targetSize: '1000000001' }, ['targetSize']],
    [{ queue: 'q', targetAgeSeconds: '5' }, ['targetAgeSeconds']],
    [{ queue: 'q', scaleBy: 'oldest_age', targetSize: '5' }, ['targetSize']],
    [{ queue: 'q', activationThreshold: 'NaN' }, ['activationThreshold']],
    [{ queue: '', scaleBy: 'x', activationThreshold: '-0' }, ['queue', 'scaleBy', 'activationThreshold']],
  ])('that says %o is refused by each field, by each call', async (metadata, names) => {
    const trigger = new Trigger(scene().stint, metadata);
    const fields = async (call: Promise<unknown>) => (await refusal(call)).violations.map(({ field }) => field).toSorted();
    const told = names.map((name) => `scalerMetadata.${name}`).toSorted();
    expect(await fields(trigger.isActive())).toEqual(told);
    expect(await fields(trigger.metricSpecs())).toEqual(told);
    expect(await fields(trigger.stream().next())).toEqual(told);
    const metricNames = ['stint-backlog', 'stint-oldest-age-seconds'];
    const ofMetrics = await Promise.all(metricNames.map((name) => fields(trigger.metrics(name))));
    expect(ofMetrics).toContainEqual(told.map((field) => `scaledObjectRef.${field}`));
  });

  it('whose metric is another, or which is left out, is refused', async () => {
    const one = scene();
    await one.enqueue();
    expect((await refusal(triggerOf(one).metrics('s0-stint-backlog'))).violations).toMatchObject([{ field: 'metricName' }]);
    expect((await refusal(triggerOf(one, { scaleBy: 'oldest_age' }).metrics('stint-backlog'))).violations).toMatchObject([
      { field: 'metricName' },
    ]);
  });

  it('for a queue that is not there is refused, until its first job comes', async () => {
    const one = scene();
    const trigger = triggerOf(one);
    const calls = [() => trigger.isActive(), () => trigger.metrics(), () => trigger.stream().next()];
    for (const call of calls) expect(await reasonOf(call())).toBe('NOT_FOUND/QUEUE_NOT_FOUND');
    expect((await refusal(trigger.isActive())).info?.metadata).toEqual({ namespace: one.namespace, queue: one.queue });
    await one.enqueue();
    for (const call of calls) await call();
  });
});

describe('StreamIsActive', () => {
  it('tells at once, then each change: at an enqueue, at a pause, at the last end', async () => {
    const one = scene();
    await one.enqueueAndClaim().then(({ leaseToken }) => one.stint.ack({ leaseToken }));
    const stream = triggerOf(one).stream();
    expect(await stream.next()).toEqual({ result: false });
    await one.enqueue();
    expect(await stream.next()).toEqual({ result: true });
    await act(one, OperatorAction.PAUSE);
    expect(await stream.next()).toEqual({ result: false });
    await act(one, OperatorAction.RESUME);
    expect(await stream.next()).toEqual({ result: true });
    const { leaseToken } = await one.claimOne();
    await one.stint.ack({ leaseToken });
    expect(await stream.next()).toEqual({ result: false });
    // All that is looked at of itself is over: what is told behind it, the enqueue has told.
    await one.later(0.3);
    await one.enqueue();
    expect(await stream.next()).toEqual({ result: true });
    stream.cancel();
  });

  it('tells of a job that becomes old enough by the time alone', async () => {
    const one = scene();
    await one.enqueue();
    const stream = triggerOf(one, { scaleBy: 'oldest_age', activationThreshold: '1.2' }).stream();
    expect(await stream.next()).toEqual({ result: false });
    expect(await stream.next()).toEqual({ result: true });
    stream.cancel();
  });

  it('ends with the client: by its deadline, or cancelled', async () => {
    const one = scene();
    await one.enqueue();
    const short = triggerOf(one).stream(500);
    await short.next();
    expect(await codeOf(short.rest())).toBe('DEADLINE_EXCEEDED');
    const stream = triggerOf(one).stream();
    await stream.next();
    const ended = codeOf(stream.rest());
    stream.cancel();
    expect(await ended).toBe('CANCELLED');
  });
});

describe('health', () => {
  it('is told of the scaler, too', async () => {
    const name = 'externalscaler.ExternalScaler';
    const request = Buffer.concat([Buffer.of(0x0a, name.length), Buffer.from(name)]);
    const identity = (bytes: Buffer) => bytes;
    const answer = await new Promise<Buffer | undefined>((resolve, reject) => {
      scene().stint.raw.jobs.makeUnaryRequest('/grpc.health.v1.Health/Check', identity, identity, request, (error, bytes) =>
        error === null ? resolve(bytes) : reject(error),
      );
    });
    // Field 1, a status: SERVING.
    expect(answer).toEqual(Buffer.of(0x08, 0x01));
  });
});

const isGiven = (process.env['STINT_ADDRESS'] ?? '') !== '';

describe.skipIf(isGiven)('two replicas (skipped with STINT_ADDRESS: those are not ours to stop)', () => {
  let staying: TestService;
  beforeAll(async () => {
    staying = await startService();
  });
  afterAll(() => staying.stop());

  it('tell of what is enqueued on either, and the one that goes ends its streams with OK', async () => {
    const going = await startService({ database: staying.database });
    const [leaving, there] = [connect(going.address), connect(staying.address)];
    const one = new Scene(there);
    await one.enqueueAndClaim().then(({ leaseToken }) => one.stint.ack({ leaseToken }));
    const { namespace, queue } = one;
    const stream = new Trigger(leaving, { namespace, queue }).stream();
    expect(await stream.next()).toEqual({ result: false });
    await one.enqueue();
    expect(await stream.next()).toEqual({ result: true });
    const rest = stream.rest();
    await going.stop();
    expect(await rest).toEqual([]);
    expect(await triggerOf(one).isActive()).toBe(true);
    leaving.close();
    there.close();
  });
});
