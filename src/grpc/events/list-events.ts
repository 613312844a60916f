import { LIMITS } from '../../domain/limits.ts';
import type { Engine, ListEvents } from '../../engine/engine.ts';
import type { EventServiceService, ListEventsRequest } from '../../../gen/stint/v1/event_service.ts';
import { readNamespace, readRequiredJobId } from '../decode.ts';
import { decode, type Fields } from '../fields.ts';
import { accepted } from '../handler.ts';
import { type Filter, formatPageToken, readPageSize, readPageToken } from '../page-token.ts';
import { eventBytes, fitting } from '../response-bound.ts';
import type { MethodHandler } from '../service.ts';
import { readEventTypes, wireEvent } from './event.ts';

export function listEvents(engine: Engine): MethodHandler<typeof EventServiceService.listEvents> {
  return async (request) => {
    const query = decode((fields) => readListEvents(fields, request));
    const page = accepted(await engine.events.listEvents(query));
    const events = fitting(page.events.map(wireEvent), eventBytes);
    const nextAfter = events.length < page.events.length ? events.at(-1)?.sequence : page.nextAfter;
    const nextPageToken = nextAfter ? formatPageToken(tokenFilter(query, request), String(nextAfter)) : '';
    return { events, latestSequence: BigInt(page.latestSequence), nextPageToken };
  };
}

function readListEvents(fields: Fields, request: ListEventsRequest): ListEvents {
  const query = {
    namespace: readNamespace(fields, request.namespace),
    jobId: readRequiredJobId(fields, request.jobId),
    types: readEventTypes(fields, request.types),
  };
  const afterSequence = fields.count('after_sequence', request.afterSequence);
  const recent = fields.integer('recent', request.recent, { min: 0, max: LIMITS.pageItems });
  const position = readPageToken(fields, request.pageToken, tokenFilter(query, request));
  return {
    ...query,
    // Where the last so many begin was found for the first page: the others go on behind it.
    ...(recent === 0 || position !== null ? {} : { recent }),
    afterSequence: position === null ? afterSequence : Math.max(afterSequence, fields.count('page_token', readSequence(position))),
    pageSize: readPageSize(fields, request.pageSize),
  };
}

/** -1 is refused as no count. */
function readSequence(position: string): bigint {
  return /^\d{1,16}$/.test(position) ? BigInt(position) : -1n;
}

function tokenFilter(
  { namespace, jobId, types }: Pick<ListEvents, 'namespace' | 'jobId' | 'types'>,
  { afterSequence, recent }: Pick<ListEventsRequest, 'afterSequence' | 'recent'>,
): Filter {
  return ['ListEvents', namespace, jobId, types.toSorted(), String(afterSequence), String(recent)];
}
