import { defineConfig } from 'vitest/config';

/** Where CI wants the machine-readable report; a developer's run writes none. */
const jsonReport = process.env['TEST_REPORT_FILE'];

/** Tests that end processes, fill pools, count what is left on the heap: each file of them has a process of its own. */
const apart = ['embedded', 'examples', 'faults', 'leaks', 'ops'].map((folder) => `test/${folder}/**/*.test.ts`);

// Processes, not threads: a test that sends signals or leaks a handle must not take its neighbours with it.
const common = { pool: 'forks', testTimeout: 30_000, hookTimeout: 60_000, teardownTimeout: 20_000 } as const;

export default defineConfig({
  test: {
    // One embedded Postgres for the whole run: starting one per file would cost a second each.
    globalSetup: ['test/support/global-setup.ts'],
    maxWorkers: 2,
    teardownTimeout: 20_000,
    reporters: jsonReport === undefined ? ['default'] : ['default', ['json', { outputFile: jsonReport }]],
    projects: [
      { test: { ...common, name: 'apart', include: apart, sequence: { groupOrder: 0 } } },
      {
        // Files that follow each other in one process load the service's modules once: half of their time went there.
        test: { ...common, name: 'together', isolate: false, include: ['test/**/*.test.ts'], exclude: apart, sequence: { groupOrder: 1 } },
      },
    ],
  },
});
