/** What is documented, alarmed about and drawn is what `/metrics` serves. */
import { readFileSync } from 'node:fs';
import { platform } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { Metrics } from '../../src/ops/metrics/metrics.ts';
import { projectRoot } from '../house/source.ts';
import { Samples } from '../support/samples.ts';

const read = (path: string) => readFileSync(join(projectRoot, path), 'utf8');
const manual = read('docs/operations.md');
const rules = read('deploy/helm/stint/files/stint.rules.yaml');
const dashboard = read('deploy/helm/stint/files/dashboard.json');
const ruleTests = read('test/deploy/stint.rules.test.yaml');

interface Documented {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
  readonly alarms: readonly string[];
}

/** Rows of the table of metrics; `the same` stands for the labels of the row before. */
function documented(): readonly Documented[] {
  const section = manual.slice(manual.indexOf('\n## Metrics\n'), manual.indexOf('\n## Alarms\n'));
  const rows: Documented[] = [];
  for (const line of section.split('\n').filter((one) => one.startsWith('| `'))) {
    const [name = '', type = '', labels = '', meaning = '', alarms = ''] = line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim());
    expect(meaning).not.toBe('');
    const named = [...labels.matchAll(/`(\w+)`/g)].map(([, label = '']) => label);
    const former = labels.startsWith('the same') ? (rows.at(-1)?.labels ?? []).filter((label) => label !== 'grpc_code') : [];
    rows.push({
      name: name.replaceAll('`', ''),
      type,
      labels: [...former, ...named],
      alarms: alarms.split(', ').filter((one) => one !== ''),
    });
  }
  return rows;
}

const alerts = [...rules.matchAll(/- alert: (\w+)\n([\s\S]*?)(?=\n {6}- alert|\n {2}- name|$)/g)].map(([, name = '', body = '']) => ({
  name,
  body,
}));

/** Metrics that an expression names: what is neither a function nor a label. */
function metricsIn(expression: string): readonly string[] {
  const bare = expression.replace(/"[^"]*"/g, '').replace(/\{\{[^}]*\}\}/g, '');
  return [...new Set([...bare.matchAll(/\b(?:stint|grpc_server|nodejs|process)_\w+/g)].map(([name]) => name))];
}

const baseOf = (name: string) => name.replace(/_(bucket|sum|count)$/, '');

let samples: Samples;
beforeAll(async () => {
  const metrics = new Metrics({ version: '1.2.3', nodeVersion: 'v20' });
  const feed = { watchedJobs: 0, followers: 0, lagMs: 0 };
  const pools = [{ name: 'stint hot', connections: 12, open: 1, inUse: 0, waiting: 0 }];
  metrics.watch(() => ({ isReady: true, answeredAgoMs: 0, pools, feed, engine: { parkedClaims: 0, sessions: 0 } }));
  samples = new Samples((await metrics.expose()).text);
});

describe('the table of metrics in docs/operations.md', () => {
  it('names each metric that is served, with its type, and no other', () => {
    const onLinux = ['process_virtual_memory_bytes', 'process_heap_bytes', 'process_open_fds', 'process_max_fds'];
    const told = documented().filter(({ name }) => platform() === 'linux' || !onLinux.includes(name));
    expect(Object.fromEntries(told.map(({ name, type }) => [name, type]))).toEqual(Object.fromEntries(samples.types));
  });

  it('names the alarms that use each, and all of them', () => {
    const used = new Map<string, string[]>();
    for (const { name, body } of alerts) {
      for (const metric of metricsIn(body.slice(0, body.indexOf('annotations'))).map(baseOf))
        used.set(metric, [...(used.get(metric) ?? []), name]);
    }
    // That a series is one of Stint's is told by its build; that alone is no use of it.
    const byItself = ({ name, body }: (typeof alerts)[number]) =>
      !/(group_left \(\)|and on \(job\)) stint_build_info/.test(body) || name === 'StintAbsent';
    used.set(
      'stint_build_info',
      alerts.filter((alert) => alert.body.includes('stint_build_info') && byItself(alert)).map(({ name }) => name),
    );
    const told = documented().filter(({ alarms }) => alarms.length > 0);
    expect(Object.fromEntries(told.map(({ name, alarms }) => [name, alarms.toSorted()]))).toEqual(
      Object.fromEntries([...used].map(([name, names]) => [name, [...new Set(names)].toSorted()])),
    );
  });
});

describe('each alarm', () => {
  it.each(alerts)('$name is explained under its name, has a summary and a severity, and is tested', ({ name, body }) => {
    expect(body).toMatch(/severity: (critical|warning|info) /);
    expect(body).toContain(`runbook: docs/operations.md#${name.toLowerCase()}`);
    expect(body).toMatch(/summary: \S/);
    expect(manual).toContain(`\n### ${name}\n`);
    expect(ruleTests).toContain(`- name: ${name}\n`);
  });

  it('is there for every heading of docs/operations.md', () => {
    const headings = [...manual.matchAll(/^### (Stint\w+)$/gm)].map(([, name]) => name);
    expect(headings.toSorted()).toEqual(alerts.map(({ name }) => name).toSorted());
  });
});

const expressions = [...dashboard.matchAll(/"expr": ("(?:[^"\\]|\\.)*")/g)].map(([, text = '""']): unknown => JSON.parse(text)).join('\n');

describe.each([
  ['the rules', rules],
  ['the dashboard', expressions],
])('%s', (_name, text) => {
  it('name only metrics that are served', () => {
    const named = metricsIn(text);
    expect(named.length).toBeGreaterThan(15);
    expect(named.filter((name) => !samples.types.has(name) && !samples.types.has(baseOf(name)))).toEqual([]);
  });
});

describe('releases under one Prometheus', () => {
  it('are told apart by every alarm that reads more than one replica', () => {
    const shared = [...rules.matchAll(/\b(?:sum|max|min|count) (?:by \(([^)]*)\))?/g)].map(([, labels = '']) => labels.split(', '));
    expect(shared.length).toBeGreaterThan(10);
    expect(shared.filter((labels) => !labels.includes('job'))).toEqual([]);
    expect(rules).not.toMatch(/\b(?:sum|max|min|count)\(/);
  });

  it('are told apart by the dashboard, which shows one', () => {
    const selectors = [...expressions.matchAll(/\b(?:stint|grpc_server|nodejs|process)_\w+(\{job="\$job")?/g)];
    expect(selectors.filter(([, selector]) => selector === undefined).map(([name]) => name)).toEqual([]);
  });
});

describe('the dashboard', () => {
  it('has its rows, and asks whatever source of data is chosen', () => {
    const titles = [...dashboard.matchAll(/"type": "row",\s+"id": \d+,\s+"title": "(\w+)"/g)].map(([, title]) => title);
    expect(titles).toEqual(['Health', 'Throughput', 'Latency', 'Queues', 'Database', 'Process']);
    expect(dashboard).toContain('"query": "prometheus"');
    const uids = new Set([...dashboard.matchAll(/"uid": "([^"]*)"/g)].map(([, uid]) => uid));
    expect([...uids].toSorted()).toEqual(['${datasource}', 'stint']);
  });
});
