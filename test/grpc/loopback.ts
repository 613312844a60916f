import { credentials, type ServiceDefinition, type ServiceError } from '@grpc/grpc-js';
import { EventServiceClient, EventServiceService } from '../../gen/stint/v1/event_service.ts';
import { JobServiceClient, JobServiceService } from '../../gen/stint/v1/job_service.ts';
import { WorkerServiceClient, WorkerServiceService } from '../../gen/stint/v1/worker_service.ts';
import type { ConnectionLife } from '../../src/grpc/connections.ts';
import { GrpcServer } from '../../src/grpc/server.ts';
import { addService, type Handlers } from '../../src/grpc/service.ts';
import { addReflection } from '../../src/ops/reflection.ts';
import { Health } from '../../src/ops/health.ts';
import { everyRpcObserver, type RpcObserver } from '../../src/ops/rpc-observer.ts';

export interface Stubs {
  readonly jobs?: Handlers<typeof JobServiceService>;
  readonly workers?: Handlers<typeof WorkerServiceService>;
  readonly events?: Handlers<typeof EventServiceService>;
  readonly observer?: RpcObserver;
}

/** The real server with handlers of the test's own, and a client of each service; `defects` are told by the ends of calls, or behind them. */
export async function loopback({ jobs = {}, workers = {}, events = {}, observer }: Stubs, life?: ConnectionLife) {
  const defects: unknown[] = [];
  const report = (cause: unknown) => void defects.push(cause);
  const health = new Health(['stint.v1.JobService']);
  const atTheEnd: RpcObserver = { begin: () => ({ end: ({ cause }) => void (cause === null || defects.push(cause)) }) };
  const grpc = new GrpcServer(health, life, everyRpcObserver(observer === undefined ? [atTheEnd] : [atTheEnd, observer]));
  addService(grpc.server, JobServiceService, jobs, report, grpc.carriers);
  addService(grpc.server, WorkerServiceService, workers, report, grpc.carriers);
  addService(grpc.server, EventServiceService, events, report, grpc.carriers);
  addReflection(grpc.server);
  const port = await grpc.listen({ host: '127.0.0.1', port: 0 });
  const address = `127.0.0.1:${port}`;
  const insecure = credentials.createInsecure();
  const options = { 'grpc.max_send_message_length': -1, 'grpc.enable_retries': 0 };
  const clients = {
    jobs: new JobServiceClient(address, insecure, options),
    workers: new WorkerServiceClient(address, insecure, options),
    events: new EventServiceClient(address, insecure, options),
  };
  const close = async () => {
    for (const client of Object.values(clients)) client.close();
    await grpc.stop({ answerParked: async () => undefined, graceMs: 1_000 });
  };
  return { ...clients, address, port, health, grpc, defects, close };
}

type UnaryCall<Request, Response> = (request: Request, done: (error: ServiceError | null, response: Response) => void) => unknown;

/** The error that a unary call ends with. */
export function failure<Request, Response>(client: UnaryCall<Request, Response>, request: Request): Promise<ServiceError> {
  return new Promise((resolve, reject) => {
    client(request, (error) => (error === null ? reject(new Error('the call succeeded')) : resolve(error)));
  });
}

export function methodsOf(...definitions: ServiceDefinition[]) {
  return definitions.flatMap((definition) => Object.values(definition));
}
