import { describe, expect, it } from 'vitest';
import { type Config, formatAddress, readConfig } from '../src/config.ts';

const read = (environment: Record<string, string>): Config => {
  const reading = readConfig(environment);
  if (reading.kind === 'refused') throw new Error(reading.problems.join('\n'));
  return reading.config;
};

const problems = (environment: Record<string, string>): readonly string[] => {
  const reading = readConfig(environment);
  return reading.kind === 'refused' ? reading.problems : [];
};

describe('the configuration', () => {
  it('needs nothing', () => {
    expect(read({})).toEqual({
      listen: { host: '127.0.0.1', port: 50_051 },
      adminListen: { host: '127.0.0.1', port: 9_464 },
      databaseUrl: null,
      dataDir: '.stint',
      logLevel: 'info',
      journalRetentionDays: 7,
      connectionLife: { ageMs: 600_000, graceMs: 60_000 },
      tracing: null,
      metricsQueues: 100,
    });
  });

  it('takes each setting from its name', () => {
    const config = read({
      STINT_LISTEN: '0.0.0.0:1',
      STINT_ADMIN_LISTEN: '[::1]:2',
      DATABASE_URL: 'postgres://u:p@db.example:5433/stint?sslmode=require',
      STINT_DATA_DIR: '/var/lib/stint',
      STINT_LOG_LEVEL: 'debug',
      STINT_JOURNAL_RETENTION_DAYS: '30',
      STINT_CONNECTION_AGE_SECONDS: '90',
      STINT_CONNECTION_GRACE_SECONDS: '5',
      STINT_METRICS_QUEUES: '0',
    });
    expect(config).toEqual({
      listen: { host: '0.0.0.0', port: 1 },
      adminListen: { host: '::1', port: 2 },
      databaseUrl: 'postgres://u:p@db.example:5433/stint?sslmode=require',
      dataDir: '/var/lib/stint',
      logLevel: 'debug',
      journalRetentionDays: 30,
      connectionLife: { ageMs: 90_000, graceMs: 5_000 },
      tracing: null,
      metricsQueues: 0,
    });
  });

  it.each<[Record<string, string>, Config['tracing']]>([
    [{ OTEL_TRACES_EXPORTER: 'otlp' }, { protocol: 'http/protobuf' }],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' }, { protocol: 'http/protobuf' }],
    [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://collector/v1/traces' }, { protocol: 'http/protobuf' }],
    [{ OTEL_TRACES_EXPORTER: 'otlp', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, { protocol: 'grpc' }],
    [
      { OTEL_TRACES_EXPORTER: 'otlp', OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json', OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'grpc' },
      { protocol: 'grpc' },
    ],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318', OTEL_TRACES_EXPORTER: 'none' }, null],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318', OTEL_SDK_DISABLED: 'TRUE' }, null],
    // Nothing of it is used.
    [{ OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json', OTEL_TRACES_SAMPLER: 'jaeger_remote', OTEL_METRICS_EXPORTER: 'x' }, null],
  ])('of %j traces by %j', (environment, tracing) => {
    expect(read(environment).tracing).toEqual(tracing);
  });

  it.each<[Record<string, string>, string]>([
    [{ OTEL_TRACES_EXPORTER: 'zipkin' }, 'OTEL_TRACES_EXPORTER must be otlp or none'],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4317' }, 'OTEL_EXPORTER_OTLP_ENDPOINT must be a URL such as http://collector:4318'],
    [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'x' }, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT must be a URL such as http://collector:4318'],
    [{ OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' }, 'OTEL_EXPORTER_OTLP_PROTOCOL must be one of http/protobuf, grpc'],
    [{ OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'udp' }, 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL must be one of http/protobuf, grpc'],
    [{ OTEL_TRACES_SAMPLER: 'sometimes' }, 'OTEL_TRACES_SAMPLER must be one of always_on'],
    [{ OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '1.5' }, 'OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1'],
    [
      { OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: 'x' },
      'OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1',
    ],
  ])('refuses %j', (environment, problem) => {
    const told = problems({ OTEL_TRACES_EXPORTER: 'otlp', ...environment });
    expect(told).toEqual([expect.stringContaining(problem)]);
  });

  it('lets connections grow as old as they like at an age of 0, whatever the grace', () => {
    const { connectionLife } = read({ STINT_CONNECTION_AGE_SECONDS: '0', STINT_CONNECTION_GRACE_SECONDS: '3600' });
    expect(connectionLife).toEqual({ ageMs: null, graceMs: 3_600_000 });
  });

  it.each(['9', '86401', '-1', '1m', '00', '1e3'])('refuses an age of connections of %j', (seconds) => {
    expect(problems({ STINT_CONNECTION_AGE_SECONDS: seconds })).toEqual([
      'STINT_CONNECTION_AGE_SECONDS must be a whole number of seconds from 10 to 86400, or 0 for never',
    ]);
  });

  it.each(['0', '3601', '1.5'])('refuses a grace of connections of %j', (seconds) => {
    expect(problems({ STINT_CONNECTION_GRACE_SECONDS: seconds })).toEqual([
      'STINT_CONNECTION_GRACE_SECONDS must be a whole number of seconds from 1 to 3600',
    ]);
  });

  it('refuses a grace that is longer than the age, and names both', () => {
    expect(problems({ STINT_CONNECTION_AGE_SECONDS: '30' })).toEqual([
      'STINT_CONNECTION_GRACE_SECONDS (60) must not be more than STINT_CONNECTION_AGE_SECONDS (30)',
    ]);
    expect(problems({ STINT_CONNECTION_AGE_SECONDS: '30', STINT_CONNECTION_GRACE_SECONDS: '30' })).toEqual([]);
  });

  it.each(['1', '0', '-7', '7d', '2.5', '3651', '00007', ' 7'])('refuses to keep the log for %j days', (days) => {
    expect(problems({ STINT_JOURNAL_RETENTION_DAYS: days })).toEqual([
      'STINT_JOURNAL_RETENTION_DAYS must be a whole number of days from 2 to 3650',
    ]);
  });

  it.each(['-1', '1001', '1e2', 'all', ' 5'])('refuses to tell of %j queues by name', (queues) => {
    expect(problems({ STINT_METRICS_QUEUES: queues })).toEqual(['STINT_METRICS_QUEUES must be a whole number of queues from 0 to 1000']);
  });

  it('takes a name set to nothing for not set', () => {
    expect(read({ DATABASE_URL: '', STINT_LISTEN: '', STINT_TYPO: '' })).toEqual(read({}));
  });

  it('passes over what is not its own, and what Kubernetes sets for a service of its name', () => {
    const environment = { PATH: '/bin', STINT_SERVICE_HOST: '10.0.0.1', STINT_SERVICE_PORT: '50051', STINT_PORT: 'tcp://10.0.0.1:50051' };
    expect(read({ ...environment, STINT_PORT_50051_TCP_ADDR: '10.0.0.1' })).toEqual(read({}));
  });

  it.each([
    ['STINT_LISTN', 'STINT_LISTEN'],
    ['STINT_DATADIR', 'STINT_DATA_DIR'],
    ['STINT_LOGLEVEL', 'STINT_LOG_LEVEL'],
    ['STINT_ADMIN_LISTEN_ADDRESS', 'STINT_ADMIN_LISTEN'],
    ['STINT_PORTS', 'STINT_'],
  ])('refuses %s and asks whether %s was meant', (name, nearest) => {
    const [problem = '', ...more] = problems({ [name]: 'x' });
    expect(problem).toContain(`${name} is not a setting`);
    expect(problem).toContain(`did you mean ${nearest}`);
    expect(more).toEqual([]);
  });

  it.each([
    '127.0.0.1',
    ':50051',
    'localhost:',
    'localhost:65536',
    'localhost:-1',
    '::1:50051',
    '[127.0.0.1]:1',
    '[::1]',
    'a b:1',
    'http://localhost:1',
    'localhost:1/',
  ])('refuses the address %s and says what one looks like', (text) => {
    expect(problems({ STINT_LISTEN: text })).toEqual([expect.stringMatching(/^STINT_LISTEN must be HOST:PORT, as in/)]);
  });

  it.each(['127.0.0.1:0', '[::]:50051', 'localhost:65535', 'my_host-1.example:80'])('writes the address %s as it was given', (text) => {
    expect(formatAddress(read({ STINT_LISTEN: text }).listen)).toBe(text);
  });

  it('refuses one address for two servers, unless the system chooses the ports', () => {
    const twice = (text: string): readonly string[] => problems({ STINT_LISTEN: text, STINT_ADMIN_LISTEN: text });
    expect(twice('127.0.0.1:4000')).toEqual([expect.stringContaining('STINT_ADMIN_LISTEN')]);
    expect(twice('127.0.0.1:0')).toEqual([]);
  });

  it.each(['mysql://u:hunter2@h/d', 'hunter2', 'postgres:', 'postgres://u:hunter2%@h/d', 'postgres:///d?password=hunter2'])(
    'refuses the database %s without repeating it',
    (text) => {
      expect(problems({ DATABASE_URL: text })).toEqual([expect.stringMatching(/^DATABASE_URL must be a URL such as/)]);
      expect(problems({ DATABASE_URL: text }).join()).not.toContain('hunter2');
    },
  );

  it('tells all mistakes at once, one line each', () => {
    const found = problems({ STINT_LISTEN: 'x', STINT_LOG_LEVEL: 'loud', STINT_NOPE: '1', STINT_NADA: '1' });
    expect(found).toHaveLength(4);
    for (const line of found) expect(line).not.toContain('\n');
  });
});
