import postgres from 'postgres';
import { describe, expect, it } from 'vitest';
import { isConnectionLoss, storeError } from '../../src/repository/driver-error.ts';

const told = (code: string, severity = 'ERROR') => Object.assign(new postgres.PostgresError('told by the server'), { code, severity });
const failed = (code: string) => Object.assign(new Error('failed on the way'), { code });

describe('what the driver throws', () => {
  it.each([
    ['a row that stayed locked', told('55P03'), 'contended', false],
    ['a deadlock', told('40P01'), 'conflict', false],
    ['a value that is refused', told('22003'), 'bad_item', false],
    ['a session that an operator ended', told('57P01', 'FATAL'), 'unavailable', true],
    ['a server that starts', told('57P03', 'FATAL'), 'unavailable', true],
    ['a server with no connection left', told('53300', 'FATAL'), 'unavailable', true],
    ['a disk that is full', told('53100'), 'unavailable', false],
    ['a statement that is wrong', told('42601'), 'broken', false],
    // As long as a SQLSTATE, and none.
    ['a write to a socket that was closed', failed('EPIPE'), 'unavailable', true],
    ['a connection that was reset', failed('ECONNRESET'), 'unavailable', true],
    ['a connection that ended', failed('CONNECTION_CLOSED'), 'unavailable', true],
    ['a wrong use of the driver', failed('UNSAFE_TRANSACTION'), 'broken', true],
  ])('%s', (_name, cause, kind, loss) => {
    expect(storeError(cause)).toMatchObject({ kind });
    expect(isConnectionLoss(cause)).toBe(loss);
  });
});
