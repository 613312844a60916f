// A process of load clients: calls a service over gRPC, as the bench tells it.
import { grpcRoute } from './grpc-route.ts';
import { serveLoads } from './load-process.ts';
import { routeLoader } from './route-loader.ts';

serveLoads(routeLoader(grpcRoute));
