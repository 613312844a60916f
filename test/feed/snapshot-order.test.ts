import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { covers } from '../../src/feed/snapshot-order.ts';

/** A server's life: transactions begin and end, and snapshots are taken in between. */
function snapshotsOf(steps: readonly { readonly begin: boolean; readonly pick: number }[]): string[] {
  const open: number[] = [];
  let next = 10;
  const snapshots = [];
  for (const { begin, pick } of steps) {
    if (begin) open.push(next++);
    else open.splice(pick % Math.max(1, open.length), 1);
    // As Postgres takes it: up to the latest that has ended, those still open among them named.
    const ended = Array.from({ length: next - 10 }, (_, index) => index + 10).filter((xid) => !open.includes(xid));
    const xmax = (ended.at(-1) ?? 9) + 1;
    const xip = open.filter((xid) => xid < xmax);
    snapshots.push(`${xip[0] ?? xmax}:${xmax}:${xip.join(',')}`);
  }
  return snapshots;
}

describe('of two snapshots of one server', () => {
  it('the later covers the earlier, and the earlier the later only where they show the same', () => {
    const steps = fc.array(fc.record({ begin: fc.boolean(), pick: fc.nat(5) }), { maxLength: 30 });
    fc.assert(
      fc.property(steps, (told) => {
        const snapshots = snapshotsOf(told);
        snapshots.forEach((earlier, index) => {
          for (const later of snapshots.slice(index)) {
            expect(covers(later, earlier), `${later} covers ${earlier}`).toBe(true);
            expect(covers(earlier, later), `${earlier} covers ${later}`).toBe(earlier === later);
          }
        });
      }),
    );
  });

  it('every one covers nothing at all, which covers none', () => {
    expect(covers('5:5:', null)).toBe(true);
    expect(covers(null, '5:5:')).toBe(false);
    expect(covers(null, null)).toBe(true);
  });
});
