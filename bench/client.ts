// A process of load clients: calls a service over gRPC, as the bench tells it.
import { grpcRoute } from './grpc-route.ts';
import { serveLoads } from './load-process.ts';

serveLoads(grpcRoute);
