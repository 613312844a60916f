// Checks the alarms with promtool, which is built from its Go module: their form, and for each that it stays quiet and that it fires.
// A line for each, as `go test -v` prints it.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const rules = join(root, 'deploy/helm/stint/files/stint.rules.yaml');
const tests = join(root, 'test/deploy/stint.rules.test.yaml');
const folder = join(root, 'tools/prometheus');
const promtool = join(folder, '.bin/promtool');

function run(program, args) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd: root, encoding: 'utf8' });
  return { passed: status === 0, told: error === undefined ? `${stdout}${stderr}` : error.message };
}

let failed = 0;
function tell(name, { passed, told }) {
  if (!passed) failed += 1;
  console.log(`--- ${passed ? 'PASS' : 'FAIL'}: ${name}`);
  if (!passed) console.log(told);
}

// What finds targets is left out: it is most of what promtool is built of, and rules need none of it.
const built = run('go', ['-C', folder, 'build', '-tags=remove_all_sd', `-o=${promtool}`, 'github.com/prometheus/prometheus/cmd/promtool']);
tell('promtool builds', built);
if (built.passed) {
  tell('the rules are well formed', run(promtool, ['check', 'rules', '--lint=all', '--lint-fatal', rules]));
  const names = [...readFileSync(tests, 'utf8').matchAll(/^ {2}- name: (.+)$/gm)].map(([, name]) => name);
  for (const name of names) tell(name, run(promtool, ['test', 'rules', `--run=^${name}$`, tests]));
}
process.exit(failed === 0 ? 0 : 1);
