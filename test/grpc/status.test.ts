import { status as Code } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import type { Refusal } from '../../src/domain/error.ts';
import { RefusalError } from '../../src/domain/error.ts';
import { parseJobId } from '../../src/domain/job.ts';
import { StoreError } from '../../src/engine/ports/store-error.ts';
import { errorResponse, refusalStatus } from '../../src/grpc/status.ts';
import { openStatus, richStatus } from '../support/rich-status.ts';

const jobId = parseJobId('0199c2f4-6a3e-7c1b-9d55-0c1f6f0a7b21') ?? expect.unreachable();

const table: [Refusal, Code, string, string[]][] = [
  [
    { kind: 'invalid_field', violations: [{ field: 'job.queue', description: 'is bad' }] },
    Code.INVALID_ARGUMENT,
    'INVALID_FIELD',
    ['BadRequest'],
  ],
  [{ kind: 'unimplemented', what: 'stint.v1.WorkerService/Work' }, Code.UNIMPLEMENTED, 'UNIMPLEMENTED', []],
  [{ kind: 'job_not_found', jobId }, Code.NOT_FOUND, 'JOB_NOT_FOUND', []],
  [{ kind: 'queue_not_found', namespace: 'default', queue: 'mail' }, Code.NOT_FOUND, 'QUEUE_NOT_FOUND', []],
  [{ kind: 'duplicate_job', jobId }, Code.ALREADY_EXISTS, 'DUPLICATE_JOB', []],
  [{ kind: 'lease_lost' }, Code.FAILED_PRECONDITION, 'LEASE_LOST', ['PreconditionFailure']],
  [
    { kind: 'invalid_transition', jobId, state: 'READY', action: 'retry' },
    Code.FAILED_PRECONDITION,
    'INVALID_TRANSITION',
    ['PreconditionFailure'],
  ],
  [{ kind: 'cursor_expired', why: 'too old', oldestCursor: 'c' }, Code.OUT_OF_RANGE, 'CURSOR_EXPIRED', []],
  [{ kind: 'overloaded', what: 'enqueue', retryAfterMs: 50 }, Code.RESOURCE_EXHAUSTED, 'OVERLOADED', ['RetryInfo', 'QuotaFailure']],
  [{ kind: 'store_unavailable', retryAfterMs: 50 }, Code.UNAVAILABLE, 'STORE_UNAVAILABLE', ['RetryInfo']],
  [{ kind: 'shutting_down' }, Code.UNAVAILABLE, 'SHUTTING_DOWN', ['RetryInfo']],
  [{ kind: 'connection_age' }, Code.UNAVAILABLE, 'CONNECTION_AGE', ['RetryInfo']],
];

function ending(error: unknown) {
  const defects: unknown[] = [];
  const { code, details, metadata } = errorResponse(error, (cause) => defects.push(cause));
  if (metadata === undefined || metadata === null) return expect.unreachable();
  return { code, details, defects, rich: richStatus({ metadata }) };
}

describe('the error table', () => {
  it.each(table)('ends a call refused with %o by code %i and reason %s', (refusal, code, reason, details) => {
    const { code: found, defects, rich } = ending(new RefusalError(refusal));
    expect({ found, rich: rich.code, info: rich.info?.reason, domain: rich.info?.domain }).toEqual({
      found: code,
      rich: code,
      info: reason,
      domain: 'stint',
    });
    expect(rich.names).toEqual(['ErrorInfo', ...details]);
    expect(defects).toEqual([]);
  });

  it('tells the state and the action of an illegal transition', () => {
    const { rich } = ending(new RefusalError({ kind: 'invalid_transition', jobId, state: 'SUCCEEDED', action: 'retry' }));
    expect(rich.info?.metadata).toEqual({ job_id: jobId, state: 'SUCCEEDED', action: 'retry' });
  });

  it('tells how often a job allows an action, where that is why it does not', () => {
    const refusal = { kind: 'invalid_transition', jobId, state: 'RUNNING', action: 'append_event', limit: 10_000 } as const;
    const { details, rich } = ending(new RefusalError(refusal));
    expect(rich.info?.metadata).toEqual({ job_id: jobId, state: 'RUNNING', action: 'append_event', limit: '10000' });
    expect(details).toBe('a job allows append_event at most 10000 times');
  });

  it('tells a client when to come back', () => {
    const { rich } = ending(new RefusalError({ kind: 'overloaded', what: 'ack', retryAfterMs: 1_250 }));
    expect(rich.retryDelay).toEqual({ seconds: 1n, nanos: 250_000_000 });
  });

  it.each<[StoreError['kind'], Code]>([
    ['unavailable', Code.UNAVAILABLE],
    ['conflict', Code.UNAVAILABLE],
    ['contended', Code.UNAVAILABLE],
    ['bad_item', Code.INTERNAL],
    ['broken', Code.INTERNAL],
  ])('ends a call on a store error of kind %s by code %i', (kind, code) => {
    expect(ending(new StoreError(kind, 'select secret')).code).toBe(code);
  });
});

describe('an unforeseen error', () => {
  it('is told to the log and not to the client', () => {
    const cause = new Error('password=hunter2');
    const { code, details, defects, rich } = ending(cause);
    expect(defects).toEqual([cause]);
    expect(code).toBe(Code.INTERNAL);
    expect(rich.info?.reason).toBe('INTERNAL');
    expect(JSON.stringify([details, rich.message, rich.info])).not.toContain('hunter2');
  });

  it.each([['a string'], [undefined], [null], [{ code: 3, details: 'mine' }]])('is INTERNAL also where %o was thrown', (thrown) => {
    expect(ending(thrown).code).toBe(Code.INTERNAL);
  });
});

describe('the size of a refusal', () => {
  const violations = Array.from({ length: 1_000 }, (_, index) => ({
    field: `jobs[${index}].payload`,
    description: 'must be at most 1048576 bytes',
  }));

  it('stays below 6 KiB in the trailer, however much is wrong', () => {
    const { rich } = ending(new RefusalError({ kind: 'invalid_field', violations }));
    expect((rich.size * 4) / 3).toBeLessThan(6 * 1024);
    expect(rich.violations.length).toBeGreaterThan(10);
  });

  it('is smaller still within a batch, but names one violation at least', () => {
    const long = [{ field: 'job.queue', description: 'x'.repeat(10_000) }, ...violations];
    const status = openStatus(refusalStatus({ kind: 'invalid_field', violations: long }));
    expect(status.violations).toHaveLength(1);
    expect(status.violations[0]?.description.length).toBeLessThan(1_000);
  });

  it('keeps half a character of a client from breaking the message', () => {
    const { details, rich } = ending(new RefusalError({ kind: 'queue_not_found', namespace: 'default', queue: 'a\ud800' }));
    expect(() => encodeURI(details ?? '')).not.toThrow();
    expect(rich.info?.metadata['queue']).toBe('a\ufffd');
  });
});
