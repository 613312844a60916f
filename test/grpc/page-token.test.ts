import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RefusalError } from '../../src/domain/error.ts';
import { decode } from '../../src/grpc/fields.ts';
import { formatPageToken, readPageSize, readPageToken } from '../../src/grpc/page-token.ts';

const filter = ['ListJobs', 'default', 'mail'];
const read = (token: string, under: readonly unknown[] = filter) => decode((fields) => readPageToken(fields, token, under));

describe('a page token', () => {
  it('leads back to its position under its own filter', () => {
    fc.assert(
      fc.property(
        fc.string({ minLength: 1, maxLength: 200, unit: 'grapheme' }),
        (position) => read(formatPageToken(filter, position)) === position,
      ),
    );
  });

  it('is empty on the first page', () => {
    expect(read('')).toBeNull();
  });

  it('is refused under another filter', () => {
    const token = formatPageToken(filter, '7');
    expect(() => read(token, ['ListJobs', 'default', 'mail2'])).toThrow(RefusalError);
    expect(() => read(token, ['ListEvents', 'default', 'mail'])).toThrow(RefusalError);
  });

  it('is refused when cut, padded or made up', () => {
    const token = formatPageToken(filter, 'position');
    for (const bad of [token.slice(0, 12), `${token}=`, `${token} `, 'x', 'A'.repeat(100_000), '%%%'])
      expect(() => read(bad)).toThrow(RefusalError);
  });
});

describe('a page size', () => {
  it.each([
    [0, 100],
    [1, 1],
    [1_000, 1_000],
  ])('of %i holds %i items', (asked, held) => {
    expect(decode((fields) => readPageSize(fields, asked))).toBe(held);
  });

  it.each([[-1], [1_001]])('of %i is refused', (asked) => {
    expect(() => decode((fields) => readPageSize(fields, asked))).toThrow(RefusalError);
  });
});
