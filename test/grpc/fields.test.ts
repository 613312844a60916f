import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RefusalError } from '../../src/domain/error.ts';
import { decode, decodeItem, type Fields, LATEST_INSTANT } from '../../src/grpc/fields.ts';
import { timestamp } from '../../src/grpc/encode.ts';

/** The fields that are refused, in the order in which they were read. */
function refused(read: (fields: Fields) => unknown): string[] {
  try {
    decode(read);
    return [];
  } catch (error) {
    if (!(error instanceof RefusalError) || error.refusal.kind !== 'invalid_field') throw error;
    return error.refusal.violations.map(({ field }) => field);
  }
}

const anyRange = { min: Number.NEGATIVE_INFINITY, max: Number.POSITIVE_INFINITY };

describe('decoding a request', () => {
  it('names everything that is wrong with it, under the path a client would write', () => {
    const found = refused((fields) => {
      const job = fields.within('job');
      job.name('queue', 'no spaces');
      job.within('retry').integer('max_attempts', 0, { min: 1, max: 5 });
      fields.list('types', ['good', 'bad!'], { min: 0, max: 2 }, (type, path) => fields.name(path, type));
    });
    expect(found).toEqual(['job.queue', 'job.retry.max_attempts', 'types[1]']);
  });

  it('tells a bounded number of violations', () => {
    const many = Array.from({ length: 1_000 }, () => '');
    expect(
      refused((fields) => fields.list('queues', many, { min: 0, max: 1_000 }, (queue, path) => fields.name(path, queue))),
    ).toHaveLength(20);
  });

  it('does not read the items of a list that is too long', () => {
    const read = (): never => expect.unreachable();
    expect(refused((fields) => fields.list('jobs', [1, 2, 3], { min: 1, max: 2 }, read))).toEqual(['jobs']);
  });

  it('keeps a bad item of a batch from its neighbours', () => {
    const items = ['good', 'bad!', 'fine'].map((name, index) => decodeItem(`jobs[${index}]`, (fields) => fields.name('queue', name)));
    expect(items.map(({ ok }) => ok)).toEqual([true, false, true]);
    expect(items[1]).toMatchObject({ refusal: { kind: 'invalid_field', violations: [{ field: 'jobs[1].queue' }] } });
  });
});

describe('a field', () => {
  it.each<[string, (fields: Fields) => unknown, boolean]>([
    ['a name of 128 characters', (f) => f.name('f', 'n'.repeat(128)), true],
    ['a name of 129 characters', (f) => f.name('f', 'n'.repeat(129)), false],
    ['an empty name', (f) => f.name('f', ''), false],
    ['a name that ends in a line break', (f) => f.name('f', 'name\n'), false],
    ['an empty name with a default', (f) => f.nameOr('f', '', 'default'), true],
    ['text of exactly its bound in bytes', (f) => f.text('f', '€'.repeat(2), 6), true],
    ['text past its bound in bytes', (f) => f.text('f', '€€', 5), false],
    ['text with U+0000', (f) => f.text('f', 'a\0b', 100), false],
    ['a missing text that is required', (f) => f.requiredText('f', '', 10), false],
    ['bytes of their bound', (f) => f.bytes('f', new Uint8Array(5), 5), true],
    ['bytes past their bound', (f) => f.bytes('f', new Uint8Array(6), 5), false],
    ['maps that fill their bound together', (f) => f.textMaps({ f: { a: '€' }, g: { b: 'c' } }, 6), true],
    ['maps past their bound together', (f) => f.textMaps({ f: { a: '€' }, g: { b: 'c' } }, 5), false],
    ['a map with U+0000 in a key', (f) => f.textMaps({ f: { 'a\0': '' } }, 100), false],
    ['a multiplier that is no number', (f) => f.double('f', Number.NaN, { min: 1, max: 2 }), false],
    ['an endless multiplier', (f) => f.double('f', Number.POSITIVE_INFINITY, { min: 1, max: 2 }), false],
    ['a negative count', (f) => f.count('f', -1n), false],
    ['a count past 2^53', (f) => f.count('f', 2n ** 53n), false],
    ['a value of an enum that nobody knows', (f) => f.choice('f', 99, { 0: 'a' }, 'a'), false],
    ['a list with a value twice', (f) => f.distinct('f', ['a', 'b', 'a']), false],
    ['a duration below its bound', (f) => f.durationMs('f', { seconds: -1n, nanos: 0 }, { min: 0, max: 10 }), false],
    ['a duration past its bound', (f) => f.durationMs('f', { seconds: 0n, nanos: 11_000_000 }, { min: 0, max: 10 }), false],
    ['a duration of two signs', (f) => f.durationMs('f', { seconds: 1n, nanos: -1 }, anyRange), false],
    ['a duration with more than a second of nanos', (f) => f.durationMs('f', { seconds: 0n, nanos: 1_000_000_000 }, anyRange), false],
    ['the largest duration of the wire', (f) => f.durationMs('f', { seconds: 2n ** 63n - 1n, nanos: 0 }, { min: 0, max: 10 }), false],
    ['an instant before 1970', (f) => f.instant('f', { seconds: -1n, nanos: 0 }), false],
    ['the first microsecond of 2200', (f) => f.instant('f', timestamp(LATEST_INSTANT)), false],
    ['the last microsecond of 2199', (f) => f.instant('f', timestamp(LATEST_INSTANT - 1)), true],
    ['the largest instant of the wire', (f) => f.instant('f', { seconds: 2n ** 63n - 1n, nanos: 0 }), false],
    ['an instant with negative nanos', (f) => f.instant('f', { seconds: 1n, nanos: -1 }), false],
  ])('judges %s', (_name, read, accepted) => {
    expect(refused(read).length === 0).toBe(accepted);
  });

  it('rounds a duration up, so that a little is not nothing', () => {
    expect(decode((fields) => fields.durationMs('f', { seconds: 0n, nanos: 1 }, { min: 0, max: 10 }))).toBe(1);
  });

  it('gives an instant back as it was stored, to the microsecond', () => {
    const instant = fc.integer({ min: 0, max: LATEST_INSTANT - 1 });
    fc.assert(fc.property(instant, (micros) => decode((fields) => fields.instant('f', timestamp(micros))) === micros));
  });
});
