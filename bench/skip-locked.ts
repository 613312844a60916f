// The loop that one writes by hand, in a process of its own, as the bench tells it.
import { serveLoads } from './load-process.ts';
import { skipLockedLoader } from './skip-locked-route.ts';

serveLoads(skipLockedLoader());
