import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { EventServiceService } from '../../gen/stint/v1/event_service.ts';
import { JobServiceService } from '../../gen/stint/v1/job_service.ts';
import { QueueServiceService } from '../../gen/stint/v1/queue_service.ts';
import { WorkerServiceService } from '../../gen/stint/v1/worker_service.ts';
import { readConfig } from '../../src/config.ts';
import { projectRoot } from '../house/source.ts';

const pages = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...pagesIn('docs'), ...pagesIn('docs/adr')];
const read = (page: string) => readFileSync(join(projectRoot, page), 'utf8');

function pagesIn(folder: string): string[] {
  const names = readdirSync(join(projectRoot, folder)).filter((name) => name.endsWith('.md'));
  return names.map((name) => `${folder}/${name}`);
}

/** The cells of each row of a table whose first cell is in backquotes. */
function namedRows(page: string): string[][] {
  const rows = read(page)
    .split('\n')
    .filter((line) => line.startsWith('| `'));
  return rows.map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

describe('the pages', () => {
  it.each(pages)('%s links to files that are there', (page) => {
    const targets = [...read(page).matchAll(/\]\((?!https?:)([^)#]+)/g)].map((match) => match[1] ?? '');
    expect(targets.filter((target) => !existsSync(join(projectRoot, dirname(page), target)))).toEqual([]);
  });
});

describe('the table of RPCs in the README', () => {
  const services: Record<string, ServiceDefinition> = {
    JobService: JobServiceService,
    WorkerService: WorkerServiceService,
    EventService: EventServiceService,
    QueueService: QueueServiceService,
  };
  const folders: Record<string, string> = { JobService: 'jobs', WorkerService: 'workers', EventService: 'events', QueueService: 'queues' };
  const rpcsOf = (service: string) => Object.values(services[service] ?? {}).map(({ path }) => path.split('/').at(-1) ?? '');
  const kebab = (name: string) => name.replace(/(?!^)([A-Z])/g, '-$1').toLowerCase();
  const namesIn = (cell: string) => cell.split(', ').filter((name) => name !== '');
  const rows = namedRows('README.md').map(([service = '', works = '']) => ({
    service: service.replaceAll('`', ''),
    works: namesIn(works),
  }));

  it.each(Object.keys(services))('names each RPC of %s once', (service) => {
    const row = rows.find((candidate) => candidate.service === service);
    expect(row?.works.toSorted()).toEqual(rpcsOf(service).toSorted());
  });

  it.each(rows)('says works of what $service has a handler for, and of nothing else', ({ service, works }) => {
    const files = readdirSync(join(projectRoot, 'src/grpc', folders[service] ?? ''));
    const handled = rpcsOf(service).filter((rpc) => files.includes(`${kebab(rpc)}.ts`));
    expect(works.toSorted()).toEqual(handled.toSorted());
  });
});

describe('the table of settings in docs/operations.md', () => {
  const documented = namedRows('docs/operations.md')
    .map(([name = '']) => name.replaceAll('`', ''))
    .filter((name) => /^[A-Z_]+$/.test(name));

  it('names each setting that config.ts reads, and no other', () => {
    const source = readFileSync(join(projectRoot, 'src/config.ts'), 'utf8');
    const read = new Set([...source.matchAll(/^ {2}([A-Z_]+): /gm)].map((match) => match[1] ?? ''));
    expect(documented.toSorted()).toEqual([...read].toSorted());
  });

  it('tells the defaults as they are', () => {
    const reading = readConfig({});
    expect(reading.kind).toBe('config');
    if (reading.kind !== 'config') return;
    const { listen, adminListen, dataDir, logLevel, journalRetentionDays, metricsQueues } = reading.config;
    const told = Object.fromEntries(namedRows('docs/operations.md').map(([name = '', value = '']) => [name.replaceAll('`', ''), value]));
    expect(told).toMatchObject({
      STINT_LISTEN: `\`${listen.host}:${listen.port}\``,
      STINT_ADMIN_LISTEN: `\`${adminListen.host}:${adminListen.port}\``,
      DATABASE_URL: 'not set',
      STINT_DATA_DIR: `\`${dataDir}\``,
      STINT_LOG_LEVEL: `\`${logLevel}\``,
      STINT_JOURNAL_RETENTION_DAYS: `\`${journalRetentionDays}\``,
      STINT_METRICS_QUEUES: `\`${metricsQueues}\``,
    });
  });
});
