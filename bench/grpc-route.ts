import { credentials } from '@grpc/grpc-js';
import { EnqueueBatchRequest, EnqueueRequest, JobServiceClient } from '../gen/stint/v1/job_service.ts';
import { call } from '../examples/call.ts';
import { claimDrainer } from './drainer.ts';
import { CALL_LIMIT, expectAll } from './expect-all.ts';
import { CONTENT_TYPE, JOB_TYPE, payloadOf } from './payload.ts';
import type { Place } from './messages.ts';
import { queuesOf, type Route, turningKeys } from './route.ts';
import { workDrainer } from './work-drainer.ts';

/** As a client does it: unary calls for a batch of one, batch calls otherwise; all over one connection a process. */
export async function grpcRoute(place: Place): Promise<Route> {
  const { target, batch, keys } = place;
  const jobs = new JobServiceClient(target, credentials.createInsecure());
  const jobOf = jobsOf(queuesOf(place), payloadOf(place.payloadBytes), turningKeys(keys));
  const drainer = place.through === 'work' ? await workDrainer(place) : claimDrainer(place);
  return {
    ...drainer,
    enqueue: batch === 1 ? enqueueOne(jobs, jobOf) : enqueueBatch(jobs, jobOf, batch),
    close: async () => {
      jobs.close();
      await drainer.close();
    },
  };
}

const jobsOf = (queues: readonly string[], payload: Buffer, nextKeys: ReturnType<typeof turningKeys>) => {
  let turn = 0;
  return () => ({
    queue: queues[(turn += 1) % queues.length] ?? '',
    type: JOB_TYPE,
    payload,
    contentType: CONTENT_TYPE,
    ...nextKeys(),
  });
};

type JobOf = ReturnType<typeof jobsOf>;

function enqueueOne(jobs: JobServiceClient, jobOf: JobOf): () => Promise<void> {
  return async () => {
    await call(jobs.enqueue.bind(jobs), EnqueueRequest.fromPartial({ job: jobOf() }), CALL_LIMIT);
  };
}

function enqueueBatch(jobs: JobServiceClient, jobOf: JobOf, batch: number): () => Promise<void> {
  return async () => {
    const request = EnqueueBatchRequest.fromPartial({ jobs: Array.from({ length: batch }, jobOf) });
    const { results } = await call(jobs.enqueueBatch.bind(jobs), request, CALL_LIMIT);
    expectAll(results, ({ result }) => result?.$case === 'job');
  };
}
