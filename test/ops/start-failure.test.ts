import { describe, expect, it } from 'vitest';
import { describeListenFailure, describeStoreFailure } from '../../src/ops/start-failure.ts';

const url = 'postgres://ada:hunter2@db.example:5433/engine';

const failure = (fields: object): Error => Object.assign(new Error('connection failed: hunter2'), fields);
const wrapped = (cause: Error): Error => new Error('store', { cause: new Error('query', { cause }) });

describe('a database that cannot be had', () => {
  it.each([
    ['ECONNREFUSED', 'nothing listens at db.example:5433'],
    ['ENOTFOUND', 'the host of db.example:5433 is unknown'],
    ['CONNECT_TIMEOUT', 'db.example:5433 does not answer'],
    ['28P01', 'the password of user "ada" is wrong'],
    ['28000', 'user "ada" may not log in'],
    ['3D000', 'there is no database "engine"'],
    ['42501', 'may not create tables in database "engine"'],
    ['25006', 'is a standby'],
    ['53300', 'has no connection left'],
    ['57P03', 'is starting up'],
    ['SELF_SIGNED_CERT_IN_CHAIN', 'no trusted TLS connection'],
  ])('is told in one line for %s, without the password', (code, words) => {
    const line = describeStoreFailure(wrapped(failure({ code })), url) ?? '';
    expect(line).toContain(words);
    expect(line).toMatch(/^DATABASE_URL: .*: \S.*$/);
    expect(line).not.toContain('hunter2');
  });

  it('is told when several addresses of one host refuse', () => {
    const error = new AggregateError([failure({ code: 'ECONNREFUSED' }), failure({ code: 'ECONNREFUSED' })]);
    expect(describeStoreFailure(wrapped(error), url)).toContain('nothing listens');
  });

  it('is told when it never answered', () => {
    expect(describeStoreFailure(failure({ kind: 'unavailable' }), url)).toContain('does not answer as a Postgres does');
  });

  it('is told in the words of storage when it is none to work with', () => {
    const unfit = Object.assign(new Error('the server runs Postgres 14.23: upgrade it'), { kind: 'unfit_server' });
    expect(describeStoreFailure(wrapped(unfit), url)).toBe('DATABASE_URL: db.example:5433: the server runs Postgres 14.23: upgrade it');
  });

  it('is not made up for what is unforeseen', () => {
    expect(describeStoreFailure(failure({ code: '42P01' }), url)).toBeNull();
    expect(describeStoreFailure('thrown', url)).toBeNull();
  });
});

describe('an address that cannot be listened on', () => {
  const context = { setting: 'STINT_ADMIN_LISTEN', address: '10.0.0.1:80' };

  it.each(['EADDRINUSE', 'EADDRNOTAVAIL', 'EACCES', 'ENOTFOUND'])('is told in one line for %s', (code) => {
    expect(describeListenFailure(failure({ code }), context)).toMatch(/^STINT_ADMIN_LISTEN: 10\.0\.0\.1:80 .*(choose|set) /);
  });

  it('is no reason for anything else', () => {
    expect(describeListenFailure(new Error('boom'), context)).toBeNull();
  });
});
