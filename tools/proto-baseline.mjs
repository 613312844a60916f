// The last released contract, kept as `proto/baseline.binpb`, so that a fresh clone without tags can tell a breaking
// change. Fields added since the baseline may still change; what the baseline holds may not.
//
//   node tools/proto-baseline.mjs --check    fails on a change that breaks clients of the baseline
//   node tools/proto-baseline.mjs --renew    at a release: takes today's contract as the baseline, unless it breaks the last
//   node tools/proto-baseline.mjs --replace  takes it even so: for a new major version only
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const baseline = 'proto/baseline.binpb';

function buf(...args) {
  const { status } = spawnSync(join(root, 'tools/node_modules/.bin/buf'), args, { cwd: root, stdio: 'inherit' });
  return status === 0;
}

function breaksNothing() {
  if (!existsSync(join(root, baseline))) {
    console.error(`${baseline} is missing: check it out again, or make the first with node tools/proto-baseline.mjs --replace`);
    return false;
  }
  return buf('breaking', '--against', baseline);
}

function renew() {
  return buf('build', '--exclude-source-info', '--output', baseline);
}

const modes = {
  '--check': breaksNothing,
  '--renew': () => breaksNothing() && renew(),
  '--replace': renew,
};
const mode = modes[process.argv[2] ?? ''];
if (mode === undefined) {
  console.error(`usage: node tools/proto-baseline.mjs ${Object.keys(modes).join(' | ')}`);
  process.exitCode = 2;
} else {
  process.exitCode = mode() ? 0 : 1;
}
