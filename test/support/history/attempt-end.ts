import { type EventRecord, type LeaseRecord, type SettlementOp, settlementOps } from './record.ts';

/** What the end of an attempt looks like among the events of its job. */
const endings: Readonly<Record<SettlementOp, readonly string[]>> = {
  ack: ['succeeded'],
  fail: ['retry_scheduled', 'failed'],
  release: ['released'],
};

/** Failure codes of the service's own begin so: nobody called for them. */
const OWN_CODE = 'stint.';

/** Which settlement an event tells of; null if none. */
export function settlementTold({ type, failureCode }: EventRecord): SettlementOp | null {
  if (failureCode.startsWith(OWN_CODE)) return null;
  return settlementOps.find((op) => endings[op].includes(type)) ?? null;
}

const endingTypes: ReadonlySet<string> = new Set([...Object.values(endings).flat(), 'suspended', 'cancelled', 'abandoned']);

/** The event that ended the attempt under a fence; undefined while it goes on. */
export function endOfAttempt(events: readonly EventRecord[], { fence }: LeaseRecord): EventRecord | undefined {
  return events.find((event) => event.fence === fence && endingTypes.has(event.type));
}
