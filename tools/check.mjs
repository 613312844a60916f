// The one check: `npm run check`. Everything that can be judged without running the tests.
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { runSteps } from './run-steps.mjs';

const root = join(import.meta.dirname, '..');
const ours = (name) => join(root, 'node_modules/.bin', name);
const tool = (name) => join(root, 'tools/node_modules/.bin', name);

// Vendored files keep the form they were published in.
const vendoredProto = ['--exclude-path', 'proto/google', '--exclude-path', 'proto/externalscaler'];

// Longest first, so that the short ones fill the gaps.
const steps = [
  { name: 'schema dump', command: 'node', args: ['--import', 'tsx', 'tools/schema-dump.ts', '--check'] },
  {
    name: 'lint',
    command: tool('oxlint'),
    args: ['--type-aware', '--deny-warnings', '--report-unused-disable-directives', '--format=unix'],
  },
  { name: 'types', command: ours('tsc'), args: ['--noEmit'] },
  { name: 'generated code', command: 'node', args: ['tools/generate.mjs', '--check'] },
  { name: 'format', command: ours('prettier'), args: ['--check', '--log-level', 'warn', '.'] },
  { name: 'dead code', command: tool('knip'), args: ['--no-progress', '--no-config-hints'] },
  { name: 'proto lint', command: tool('buf'), args: ['lint'] },
  { name: 'proto format', command: tool('buf'), args: ['format', '--diff', '--exit-code', ...vendoredProto] },
  { name: 'proto breaking', command: 'node', args: ['tools/proto-baseline.mjs', '--check'] },
];

const install = spawnSync('node', [join(root, 'tools/install.mjs'), '--tools'], { cwd: root, stdio: 'inherit' });
if (install.status !== 0) {
  console.error('check: the checkers could not be installed (tools/install.mjs --tools); see above.');
  process.exit(1);
}

const env = {
  ...process.env,
  // oxlint looks for its type-aware half beside the code it lints; ours lies in the tools package.
  OXLINT_TSGOLINT_PATH: tool('tsgolint'),
};
const only = process.argv.slice(2).join(' ');
const exact = steps.filter((step) => step.name === only);
const chosen = exact.length > 0 ? exact : steps.filter((step) => step.name.includes(only));
if (chosen.length === 0) {
  console.error(`check: no step is called "${only}"; there are: ${steps.map((step) => step.name).join(', ')}`);
  process.exit(2);
}
const failed = await runSteps(chosen, { cwd: root, env, lanes: Math.min(4, availableParallelism()) });
console.log(`${chosen.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
