import { describe, expect, it } from 'vitest';
import { createLogger, type Logger } from '../../src/ops/logging.ts';

/** What `write` makes the logger put out, parsed and as text. */
function record(write: (logger: Logger) => void, level = 'info'): { entries: Record<string, unknown>[]; text: string } {
  const lines: string[] = [];
  write(createLogger({ level, destination: { write: (line: string) => void lines.push(line) } }));
  return { entries: lines.map((line) => JSON.parse(line) as Record<string, unknown>), text: lines.join('') };
}

/** As Drizzle and postgres.js throw them: the parameters stand in the message, the stack and beside them. */
function databaseError(): Error {
  const PostgresError = class extends Error {
    readonly code = '22P02';
    readonly detail = 'Key (token)=(sesame) exists';
  };
  Object.defineProperty(PostgresError, 'name', { value: 'PostgresError' });
  const DrizzleQueryError = class extends Error {
    readonly query = 'insert into job values ($1)';
    readonly params = ['sesame'];
  };
  return new DrizzleQueryError('Failed query: insert into job values ($1)\nparams: sesame\n    at sesame', {
    cause: new PostgresError('invalid input syntax for type uuid: "sesame"'),
  });
}

describe('the log', () => {
  it('writes JSON lines with a level by name', () => {
    const { entries } = record((logger) => logger.info({ queue: 'mail' }, 'ready'));
    expect(entries).toEqual([{ level: 'info', time: expect.stringMatching(/^\d{4}-.*Z$/), queue: 'mail', msg: 'ready' }]);
  });

  it('keeps silent below its level', () => {
    expect(record((logger) => logger.info('quiet'), 'warn').entries).toEqual([]);
  });

  it.each([
    ['under err, with a message', (logger: Logger) => logger.error({ err: databaseError() }, 'claim failed')],
    ['under err, alone', (logger: Logger) => logger.error({ err: databaseError() })],
    ['as the entry', (logger: Logger) => logger.error(databaseError())],
    ['as the cause of another', (logger: Logger) => logger.error({ err: new Error('claim failed', { cause: databaseError() }) })],
    ['in a child', (logger: Logger) => logger.child({ part: 'upkeep' }).error(databaseError())],
  ])('tells of a database error its code and frames, never its parameters: %s', (_name, write) => {
    const { text } = record(write);
    expect(text).toContain('22P02');
    expect(text).toContain('logging.test.ts');
    expect(text).not.toContain('sesame');
    expect(text).not.toContain('insert into');
  });

  it('tells other errors whole', () => {
    const { entries } = record((logger) => logger.error(new RangeError('no such shard')));
    expect(entries[0]).toMatchObject({ msg: 'no such shard', err: { type: 'RangeError', message: 'no such shard' } });
  });

  it('blots out what has the name of a secret', () => {
    const { text } = record((logger) => {
      logger.info({ payload: 'sesame', request: { leaseToken: 'sesame', headers: { a: 'sesame' } }, databaseUrl: 'sesame' }, 'called');
    });
    expect(text).not.toContain('sesame');
  });

  it('ends a circle of causes', () => {
    const error = new Error('round');
    error.cause = error;
    expect(record((logger) => logger.error(error)).entries).toHaveLength(1);
  });
});
