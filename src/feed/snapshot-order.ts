import { snapshotXip, snapshotXmax } from '../engine/ports/journal.ts';

/**
 * Whether everything visible in `earlier` is visible in `later` too. One server's snapshots stand in a row, so of two
 * one covers the other; null is the snapshot that shows nothing.
 */
export function covers(later: string | null, earlier: string | null): boolean {
  if (earlier === null || earlier === later) return true;
  if (later === null) return false;
  const end = snapshotXmax(earlier);
  const openBefore = new Set(snapshotXip(earlier));
  return end <= snapshotXmax(later) && snapshotXip(later).every((xid) => openBefore.has(xid) || BigInt(xid) >= end);
}
