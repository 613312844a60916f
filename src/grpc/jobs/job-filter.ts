/** The conditions by which listings and bulk calls choose jobs. */
import { LIMITS } from '../../domain/limits.ts';
import type { JobFilter } from '../../engine/ports/repository.ts';
import type { JobFilter as WireJobFilter } from '../../../gen/stint/v1/job_service.ts';
import { readJobStates } from '../decode.ts';
import type { Fields } from '../fields.ts';
import type { Filter } from '../page-token.ts';

/** `fields` are those of the message that has the conditions. */
export function readJobFilter(
  fields: Fields,
  namespace: string,
  { queue, type, states, labels, createdFrom, createdBefore }: Omit<WireJobFilter, '$type'>,
): JobFilter {
  fields.textMaps({ labels }, LIMITS.headersAndLabelsBytes);
  return {
    namespace,
    queue: fields.nameOr('queue', queue, null),
    type: fields.nameOr('type', type, null),
    states: readJobStates(fields, states),
    labels,
    createdFrom: fields.instant('created_from', createdFrom),
    createdBefore: fields.instant('created_before', createdBefore),
  };
}

/** What a page token of these conditions belongs to. */
export function jobTokenFilter(rpc: string, { namespace, queue, type, states, labels, createdFrom, createdBefore }: JobFilter): Filter {
  return [rpc, namespace, queue, type, states.toSorted(), sortedEntries(labels), createdFrom, createdBefore];
}

/** A map has no order on the wire: the same conditions, encoded again, may name their labels in another. */
export function sortedEntries(labels: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(labels).toSorted(([one], [other]) => (one < other ? -1 : 1));
}
