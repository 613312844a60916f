import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseJobId } from '../../../src/domain/job.ts';
import type { Scope, Subscribe } from '../../../src/engine/engine.ts';
import { formatCursor, readCursor, type Cursor } from '../../../src/engine/events/cursor.ts';

const jobId = parseJobId('01a1fb78-2df1-7000-8000-000000000001');
if (jobId === null) throw new Error('not a job id');
const EVERYTHING: Scope = { kind: 'everything' };
const JOB: Scope = { kind: 'job', jobId };

const snapshot = fc
  .tuple(fc.bigInt({ min: 1n, max: 2n ** 63n }), fc.uniqueArray(fc.nat(1_000_000), { maxLength: 5 }))
  .map(([xmin, ahead]) => {
    const open = ahead.sort((a, b) => a - b).map((distance) => xmin + BigInt(distance));
    return `${open[0] ?? xmin}:${(open.at(-1) ?? xmin) + 1n}:${open.join(',')}`;
  });
const count = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const int4 = fc.integer({ min: 0, max: 2 ** 31 - 1 });
const window = fc.record({ upTo: snapshot, from: fc.record({ epoch: int4, n: count, offset: int4 }) });
const position = fc.record({
  epoch: fc.record({ number: int4, id: fc.uuid() }),
  seen: fc.option(snapshot),
  window: fc.option(window),
});

const name = fc.stringMatching(/^[a-z.]{1,8}$/);
const logQuery = fc.record<Subscribe>({
  namespace: name,
  scope: fc.oneof(
    fc.constant(EVERYTHING),
    name.map((queue): Scope => ({ kind: 'queue', queue })),
  ),
  types: fc.array(name, { maxLength: 3 }),
  start: fc.constant({ kind: 'from_now' }),
});

const QUERY: Subscribe = { namespace: 'n', scope: EVERYTHING, types: [], start: { kind: 'from_now' } };
const EPOCH = { number: 1, id: '9b2e1c1e-6a7c-4a3f-8a57-000000000001' };
const POSITION = { epoch: EPOCH, seen: '10:12:10,11', window: { upTo: '12:15:13', from: { epoch: 1, n: 7, offset: 3 } } };
const CURSOR: Cursor = { kind: 'log', position: POSITION };
const JOB_CURSOR: Cursor = { kind: 'job', epochId: EPOCH.id, sequence: 4 };

/** Says no, and names the field. */
function expectForeign(query: Subscribe, text: string): void {
  expect(() => readCursor(query, text), text).toThrow(
    expect.objectContaining({ refusal: { kind: 'invalid_field', violations: [expect.objectContaining({ field: 'cursor' })] } }),
  );
}

/** A cursor of ours with one part replaced. */
function forged(replace: (parts: unknown[]) => void): string {
  const parts: unknown[] = JSON.parse(Buffer.from(formatCursor(QUERY, CURSOR), 'base64url').toString());
  replace(parts);
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

describe('a cursor', () => {
  it('comes back as it was given, for the log', () => {
    fc.assert(
      fc.property(logQuery, position, (query, at) => {
        const cursor: Cursor = { kind: 'log', position: at };
        expect(readCursor(query, formatCursor(query, cursor))).toEqual(cursor);
      }),
    );
  });

  it('comes back as it was given, for a job', () => {
    fc.assert(
      fc.property(fc.uuid(), count, (epochId, sequence) => {
        const [query, cursor] = [
          { ...QUERY, scope: JOB },
          { kind: 'job' as const, epochId, sequence },
        ];
        expect(readCursor(query, formatCursor(query, cursor))).toEqual(cursor);
      }),
    );
  });

  it('does not mind in which order the types are named, or how often', () => {
    const text = formatCursor({ ...QUERY, types: ['ready', 'claimed'] }, CURSOR);
    expect(readCursor({ ...QUERY, types: ['claimed', 'ready', 'claimed'] }, text)).toEqual(CURSOR);
  });

  it.each<[string, Subscribe]>([
    ['another namespace', { ...QUERY, namespace: 'other' }],
    ['a queue', { ...QUERY, scope: { kind: 'queue', queue: 'q' } }],
    ['a job', { ...QUERY, scope: JOB }],
    ['fewer types', { ...QUERY, types: ['ready'] }],
  ])('is refused for %s', (_what, query) => {
    expectForeign(query, formatCursor(QUERY, CURSOR));
  });

  it('is refused for another of the same kind', () => {
    const queue = (named: string): Subscribe => ({ ...QUERY, scope: { kind: 'queue', queue: named } });
    expectForeign(queue('b'), formatCursor(queue('a'), CURSOR));
    expectForeign(QUERY, formatCursor({ ...QUERY, scope: JOB }, JOB_CURSOR));
    expectForeign({ ...QUERY, scope: JOB, types: ['ready'] }, formatCursor({ ...QUERY, scope: JOB }, JOB_CURSOR));
  });

  it('is refused when it was cut short or written to', () => {
    for (const [query, cursor] of [
      [QUERY, CURSOR],
      [{ ...QUERY, scope: JOB }, JOB_CURSOR],
    ] as const) {
      const text = formatCursor(query, cursor);
      for (let length = 0; length < text.length; length += 1) expectForeign(query, text.slice(0, length));
      for (const added of ['A', 'AAAA', '=', '!', ' ', '\n']) expectForeign(query, text + added);
    }
  });

  it('is refused when it is something else altogether', () => {
    fc.assert(fc.property(fc.string(), (text) => expectForeign(QUERY, text)));
    fc.assert(fc.property(fc.json(), (text) => expectForeign(QUERY, Buffer.from(text).toString('base64url'))));
  });

  it.each<[string, (parts: unknown[]) => void]>([
    ['a version to come', (parts) => (parts[0] = 2)],
    ['an epoch that is no UUID', (parts) => (parts[2] = 'x')],
    ['a negative epoch', (parts) => (parts[3] = -1)],
    ['a snapshot that ends before it begins', (parts) => (parts[4] = '12:10:')],
    ['a snapshot with an open transaction beyond its end', (parts) => (parts[4] = '10:12:12')],
    ['a snapshot with an open transaction before its begin', (parts) => (parts[4] = '10:12:9')],
    ['a snapshot that does not rise', (parts) => (parts[4] = '10:14:12,11')],
    ['a snapshot from nothing', (parts) => (parts[4] = '0:12:')],
    ['a snapshot past the last transaction', (parts) => (parts[4] = '10:18446744073709551616:')],
    ['a snapshot of words', (parts) => (parts[4] = 'a:b:c')],
    ['a window that is none', (parts) => (parts[5] = 'x')],
    ['a window of nothing', (parts) => (parts[5] = [null, 1, 7, 3])],
    ['a window in an epoch past all', (parts) => (parts[5] = ['12:15:13', 2 ** 31, 7, 3])],
    ['a window at half a row', (parts) => (parts[5] = ['12:15:13', 1, 7.5, 3])],
    ['one part more', (parts) => parts.push(1)],
  ])('is refused with %s', (_what, replace) => {
    expect(
      readCursor(
        QUERY,
        forged(() => undefined),
      ),
    ).toEqual(CURSOR);
    expectForeign(QUERY, forged(replace));
  });
});
