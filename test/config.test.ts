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
      pooler: 'none',
      directDatabaseUrl: null,
      migrates: true,
      dataDir: '.stint',
      logLevel: 'info',
      journalRetentionDays: 7,
    });
  });

  it('takes each setting from its name', () => {
    const config = read({
      STINT_LISTEN: '0.0.0.0:1',
      STINT_INSECURE: 'true',
      STINT_ADMIN_LISTEN: '[::1]:2',
      DATABASE_URL: 'postgres://u:p@db.example:5433/stint?sslmode=require',
      STINT_POOLER: 'transaction',
      STINT_DIRECT_DATABASE_URL: 'postgres://u:p@primary.example/stint',
      STINT_MIGRATE: 'false',
      STINT_DATA_DIR: '/var/lib/stint',
      STINT_LOG_LEVEL: 'debug',
      STINT_JOURNAL_RETENTION_DAYS: '30',
    });
    expect(config).toEqual({
      listen: { host: '0.0.0.0', port: 1 },
      adminListen: { host: '::1', port: 2 },
      databaseUrl: 'postgres://u:p@db.example:5433/stint?sslmode=require',
      pooler: 'transaction',
      directDatabaseUrl: 'postgres://u:p@primary.example/stint',
      migrates: false,
      dataDir: '/var/lib/stint',
      logLevel: 'debug',
      journalRetentionDays: 30,
    });
  });

  it.each(['1', '0', '-7', '7d', '2.5', '3651', '00007', ' 7'])('refuses to keep the log for %j days', (days) => {
    expect(problems({ STINT_JOURNAL_RETENTION_DAYS: days })).toEqual([
      'STINT_JOURNAL_RETENTION_DAYS must be a whole number of days from 2 to 3650',
    ]);
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
    expect(formatAddress(read({ STINT_LISTEN: text, STINT_INSECURE: 'true' }).listen)).toBe(text);
  });

  const elsewhere = [
    '0.0.0.0:1',
    '10.1.2.3:1',
    '128.0.0.1:1',
    '[::]:1',
    '[::2]:1',
    '[::ffff:10.0.0.1]:1',
    'db.example:1',
    'localhost.example:1',
  ];

  it.each(elsewhere)('serves on %s only where that is said to be meant', (text) => {
    for (const name of ['STINT_LISTEN', 'STINT_ADMIN_LISTEN']) {
      expect(problems({ [name]: text })).toEqual([expect.stringContaining(`${name} (${text})`)]);
      expect(problems({ [name]: text, STINT_INSECURE: 'false' })).toEqual([expect.stringContaining('STINT_INSECURE=true')]);
      expect(problems({ [name]: text, STINT_INSECURE: 'true' })).toEqual([]);
    }
  });

  it.each(['127.0.0.1:1', '127.9.9.9:1', '[::1]:1', '[::ffff:127.0.0.1]:1', 'localhost:1', 'LOCALHOST:1'])(
    'serves on %s as it is',
    (text) => {
      expect(problems({ STINT_LISTEN: text })).toEqual([]);
    },
  );

  it('tells both addresses that others reach in one line', () => {
    const [line = '', ...more] = problems({ STINT_LISTEN: '0.0.0.0:1', STINT_ADMIN_LISTEN: '0.0.0.0:2' });
    expect(line).toMatch(/^STINT_LISTEN \(0\.0\.0\.0:1\) and STINT_ADMIN_LISTEN \(0\.0\.0\.0:2\) .*STINT_INSECURE=true$/);
    expect(more).toEqual([]);
  });

  it('migrates the embedded Postgres itself, or nobody would', () => {
    expect(problems({ STINT_MIGRATE: 'false' })).toEqual([expect.stringMatching(/^STINT_MIGRATE=false needs DATABASE_URL/)]);
    expect(problems({ STINT_MIGRATE: 'no', DATABASE_URL: 'postgres://h/d' })).toEqual(['STINT_MIGRATE must be true or false']);
  });

  it('takes a pooler before a database of its own only, and another way to it only with a pooler', () => {
    const url = 'postgres://u:hunter2@h/d';
    expect(problems({ STINT_POOLER: 'session', DATABASE_URL: url })).toEqual(['STINT_POOLER must be none or transaction']);
    expect(problems({ STINT_POOLER: 'transaction' })).toEqual([expect.stringMatching(/^STINT_POOLER=transaction needs DATABASE_URL/)]);
    const alone = problems({ STINT_DIRECT_DATABASE_URL: url, DATABASE_URL: url });
    expect(alone).toEqual([expect.stringMatching(/^STINT_DIRECT_DATABASE_URL needs STINT_POOLER=transaction(?!.*hunter2)/)]);
    expect(problems({ STINT_POOLER: 'transaction', DATABASE_URL: url, STINT_DIRECT_DATABASE_URL: url })).toEqual([]);
  });

  it.each(['1', 'yes', 'TRUE', ' true'])('refuses %j for yes or no', (text) => {
    expect(problems({ STINT_INSECURE: text })).toEqual(['STINT_INSECURE must be true or false']);
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
