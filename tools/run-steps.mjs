import { spawn } from 'node:child_process';

/** Longest a single step may take before it counts as hung: the slowest takes about ten seconds on two cores. */
const stepLimitMs = 300_000;

/**
 * Runs every step, `lanes` at a time, and prints one line for each; what a failed one said follows its line.
 * Returns how many failed.
 */
export async function runSteps(steps, { cwd, env, lanes }) {
  const waiting = [...steps];
  let failed = 0;
  const lane = async () => {
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
      const startedAt = performance.now();
      const { ok, output } = await runStep(step, cwd, env);
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
      console.log(`${ok ? 'ok    ' : 'FAILED'} ${step.name.padEnd(16)} ${seconds} s`);
      if (!ok) {
        failed += 1;
        console.log(indent(output));
      }
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return failed;
}

function runStep(step, cwd, env) {
  return new Promise((resolve) => {
    const child = spawn(step.command, step.args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: stepLimitMs });
    const chunks = [];
    child.stdout.on('data', (chunk) => chunks.push(chunk));
    child.stderr.on('data', (chunk) => chunks.push(chunk));
    child.once('error', (error) => resolve({ ok: false, output: error.message }));
    child.once('close', (code, signal) => {
      const ending = signal === null ? '' : `\nended by ${signal} (a step may take ${stepLimitMs / 1000} s)`;
      resolve({ ok: code === 0, output: Buffer.concat(chunks).toString('utf8').trimEnd() + ending });
    });
  });
}

function indent(text) {
  return text
    .split('\n')
    .map((line) => `       ${line}`)
    .join('\n');
}
