// The raw pipeline in a process of its own: the statements of the service without gRPC and engine, as the bench tells it.
import { databaseRoute } from './database-route.ts';
import { serveLoads } from './load-process.ts';
import { routeLoader } from './route-loader.ts';

serveLoads(routeLoader(databaseRoute));
