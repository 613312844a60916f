import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createLogger } from '../../src/ops/logging.ts';
import { RpcLog } from '../../src/ops/rpc-log.ts';
import type { ObservedRpc, RpcEnd } from '../../src/ops/rpc-observer.ts';

const rpc = { path: '/stint.v1.JobService/GetJob', service: 'stint.v1.JobService', method: 'GetJob', type: 'unary' } as const;

const call = (headers: Record<string, string> = {}): ObservedRpc => ({
  rpc,
  peer: '10.0.0.7:4711',
  header: (name) => headers[name] ?? null,
});

const ended = (told: Partial<RpcEnd> = {}): RpcEnd => ({ code: 5, status: 'NOT_FOUND', reason: 'JOB_NOT_FOUND', cause: null, ...told });

function open(level = 'info') {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>);
  const log = new RpcLog(createLogger({ level, destination: { write } }));
  const end = (told?: Partial<RpcEnd>, headers?: Record<string, string>) => log.begin(call(headers)).end(ended(told));
  return { lines, log, end };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('the log of calls', () => {
  it('tells of a refused call what, why, whose and how long', () => {
    const { lines, end } = open();
    expect(end({}, { 'x-request-id': 'r-1' })).toEqual({ 'x-request-id': 'r-1' });
    expect(lines).toEqual([
      {
        ...{ level: 'info', time: expect.any(String), msg: 'a call was refused', method: rpc.path, code: 'NOT_FOUND' },
        ...{ reason: 'JOB_NOT_FOUND', requestId: 'r-1', peer: '10.0.0.7:4711', durationMs: expect.any(Number) },
      },
    ]);
  });

  it('names a failed request that has no name, and tells the client the same', () => {
    const { lines, end } = open();
    const told = end();
    expect(told?.['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
    expect(lines[0]?.['requestId']).toBe(told?.['x-request-id']);
  });

  it('tells nothing of a call that succeeded; its client gets back the name that it gave', () => {
    const { lines, end } = open('debug');
    const ok = { code: 0, status: 'OK', reason: null };
    expect(end(ok)).toBeUndefined();
    expect(end(ok, { 'x-request-id': 'r-2' })).toEqual({ 'x-request-id': 'r-2' });
    expect(lines).toEqual([]);
  });

  it.each([
    ['', undefined],
    ['two\nlines and a blank', 'two_lines_and_a_blank'],
    ['é\u0000\u007f~', '___~'],
    ['x'.repeat(500), 'x'.repeat(128)],
  ])('takes from %j what can neither break a line nor fill a disk', (given, taken) => {
    const { end } = open();
    expect(end({ code: 0, status: 'OK', reason: null }, { 'x-request-id': given })?.['x-request-id']).toBe(taken);
  });

  it.each<[string, string, Partial<RpcEnd>]>([
    ['error', 'a defect', { status: 'INTERNAL', reason: 'INTERNAL', cause: new Error('no') }],
    ['warn', 'a database that is away', { status: 'UNAVAILABLE', reason: 'STORE_UNAVAILABLE' }],
    ['warn', 'a replica that is full', { status: 'RESOURCE_EXHAUSTED', reason: 'OVERLOADED' }],
    ['info', 'a queue that is full', { status: 'RESOURCE_EXHAUSTED', reason: 'QUEUE_SATURATED' }],
    ['info', 'a connection that is renewed', { status: 'UNAVAILABLE', reason: 'CONNECTION_AGE' }],
    ['info', 'a replica that stops', { status: 'UNAVAILABLE', reason: 'SHUTTING_DOWN' }],
    ['info', 'a bad field', { status: 'INVALID_ARGUMENT', reason: 'INVALID_FIELD' }],
    ['debug', 'a client that has gone', { status: 'CANCELLED', reason: null }],
    ['debug', 'a wait that is over', { status: 'DEADLINE_EXCEEDED', reason: null }],
  ])('has the level %s for %s', (level, _what, told) => {
    const { lines, end } = open('debug');
    end(told);
    expect(lines.map((line) => line['level'])).toEqual([level]);
  });

  it('tells the first of many alike, and once a minute how many were left out, of each kind', () => {
    const { lines, end } = open();
    for (let n = 0; n < 35; n += 1) end();
    end({ status: 'INVALID_ARGUMENT', reason: 'INVALID_FIELD' });
    expect(lines.filter((line) => line['msg'] === 'a call was refused')).toHaveLength(11);
    vi.advanceTimersByTime(60_000);
    expect(lines.slice(11)).toEqual([
      {
        ...{ level: 'info', time: expect.any(String), method: rpc.path, code: 'NOT_FOUND', reason: 'JOB_NOT_FOUND' },
        ...{ leftOut: 25, withinMs: 60_000, msg: 'more calls ended alike, and were not told one by one' },
      },
    ]);
    end();
    expect(lines).toHaveLength(13);
    vi.advanceTimersByTime(60_000);
    expect(lines).toHaveLength(13);
  });

  it('sums up what is left when it stops', () => {
    const { lines, log, end } = open();
    for (let n = 0; n < 12; n += 1) end();
    log.stop();
    expect(lines.at(-1)).toMatchObject({ leftOut: 2 });
    expect(vi.getTimerCount()).toBe(0);
  });
});
