import { configDefaults, defineConfig } from 'vitest/config';

/** Where CI wants the machine-readable report; a developer's run writes none. */
const jsonReport = process.env['TEST_REPORT_FILE'];

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // It installs packages: `npm run test:image`.
    exclude: [...configDefaults.exclude, ...(process.env['STINT_IMAGE'] === '1' ? [] : ['test/image/**'])],
    // One embedded Postgres for the whole run: starting one per file would cost a second each.
    globalSetup: ['test/support/global-setup.ts'],
    // Processes, not threads, for tests send signals. Files that follow each other in one process load the service's modules
    // once: nearly half of their time went there.
    pool: 'forks',
    isolate: false,
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    reporters: jsonReport === undefined ? ['default'] : ['default', ['json', { outputFile: jsonReport }]],
  },
});
