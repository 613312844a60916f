import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/domain/limits.ts';
import { formatNotices, parseNotice } from '../../src/repository/progress-notice.ts';
import { told } from '../engine/progress/told.ts';

/** Postgres takes less than 8,000 bytes. */
const NOTICE_LIMIT_BYTES = 8_000;

const HERE = '00000000-0000-4000-8000-000000000001';
const THERE = '00000000-0000-4000-8000-000000000002';

describe('notices of progress', () => {
  it('tell the others what was told, and nothing to who told it', () => {
    const arbitrary = fc
      .record({
        job: fc.nat(1_000),
        fence: fc.bigInt(0n, 2n ** 63n - 1n),
        fraction: fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
        message: fc.string({ unit: 'grapheme', maxLength: 300 }),
        workerId: fc.string({ unit: 'grapheme', maxLength: 60 }),
      })
      .map(({ job, fence, fraction, message, workerId }) =>
        told(job, 1_700_000_000_000_000, { fence, workerId, progress: { fraction, message } }),
      );
    fc.assert(
      fc.property(fc.array(arbitrary, { maxLength: 50 }), (all) => {
        const notices = formatNotices(HERE, all);
        for (const notice of notices) expect(Buffer.byteLength(notice)).toBeLessThan(NOTICE_LIMIT_BYTES);
        const zeroed = all.map((one) => ({ ...one, progress: { ...one.progress, fraction: noMinus(one.progress.fraction) } }));
        expect(notices.flatMap((notice) => parseNotice(notice, THERE))).toEqual(zeroed);
        expect(notices.flatMap((notice) => parseNotice(notice, HERE))).toEqual([]);
      }),
    );
  });

  it('hold the largest progress there can be', () => {
    const name = 'n'.repeat(LIMITS.nameLength);
    const largest = told(1, 2 ** 53 - 1, {
      ...{
        namespace: name,
        queue: name,
        workerId: '\u0001'.repeat(LIMITS.workerIdBytes),
        fence: 2n ** 63n - 1n,
        attempt: LIMITS.maxAttempts,
      },
      progress: { fraction: 0.123_456_789_012_345_6, message: '"'.repeat(LIMITS.progressMessageBytes) },
    });
    const notices = formatNotices(HERE, [largest, largest, largest, largest, largest]);
    for (const notice of notices) expect(Buffer.byteLength(notice)).toBeLessThan(NOTICE_LIMIT_BYTES);
    expect(notices.flatMap((notice) => parseNotice(notice, THERE))).toHaveLength(5);
  });

  it.each(['', 'nonsense', '\nnull', '\n[]', '\n{}', '\n["n","q","not an id","1",1,1,null,"",""]', '\n["n"'])(
    'of another version (%j) are passed over',
    (rest) => {
      expect(parseNotice(`${HERE}${rest}`, THERE)).toEqual([]);
    },
  );
});

/** JSON has no negative zero. */
function noMinus(fraction: number | null): number | null {
  return fraction === 0 ? 0 : fraction;
}
