import type { Delivery, Engine, Scope, Subscribe } from '../../engine/engine.ts';
import { EventServiceService, type SubscribeRequest, type SubscribeResponse } from '../../../gen/stint/v1/event_service.ts';
import { readJobId, readNamespace } from '../decode.ts';
import { decode, type Fields } from '../fields.ts';
import { Encoded } from '../encoded.ts';
import { RECONNECT_REASONS } from '../reconnect.ts';
import type { MethodHandler } from '../service.ts';
import { wireProgress } from './progress.ts';
import { readEventTypes, wireEvent } from './event.ts';

export function subscribe(engine: Engine): MethodHandler<typeof EventServiceService.subscribe> {
  const encode = encodeOnce();
  return async function* subscribe(request, call) {
    const query = decode((fields) => readSubscribe(fields, request));
    for await (const delivery of engine.events.subscribe(query, call.signal, call.ending)) yield encode(delivery);
  };
}

function readSubscribe(fields: Fields, request: SubscribeRequest): Subscribe {
  return {
    namespace: readNamespace(fields, request.namespace),
    scope: readScope(fields, request.scope),
    types: readEventTypes(fields, request.types),
    start: readStart(fields, request.start),
    includeProgress: request.includeProgress,
  };
}

function readScope(fields: Fields, scope: SubscribeRequest['scope']): Scope {
  switch (scope?.$case) {
    case 'jobId':
      return { kind: 'job', jobId: readJobId(fields, 'job_id', scope.jobId) ?? fields.giveUp() };
    case 'queue':
      return { kind: 'queue', queue: fields.name('queue', scope.queue) };
    case 'everything':
      return { kind: 'everything' };
    case undefined:
      fields.refuse('scope', 'is required: one of job_id, queue, everything');
      return fields.giveUp();
  }
}

/** Longer than any cursor of ours, however many transactions were open when it was made. */
const MAX_CURSOR_BYTES = 64 * 1024;

function readStart(fields: Fields, start: SubscribeRequest['start']): Subscribe['start'] {
  switch (start?.$case) {
    case 'cursor':
      return { kind: 'cursor', cursor: fields.requiredText('cursor', start.cursor, MAX_CURSOR_BYTES) };
    case 'fromBeginning':
      return { kind: 'from_beginning' };
    case 'fromNow':
    case undefined:
      return { kind: 'from_now' };
  }
}

/** What is delivered to many is encoded for the first of them. */
function encodeOnce(): (delivery: Delivery) => SubscribeResponse | Encoded {
  const known = new WeakMap<Delivery['events'], Encoded>();
  return (delivery) => {
    const { events, progress = [], reconnect } = delivery;
    if (events.length === 0 || progress.length > 0 || reconnect !== null) return wireDelivery(delivery);
    const found = known.get(events);
    if (found !== undefined) return found;
    const made = new Encoded(EventServiceService.subscribe.responseSerialize(wireDelivery(delivery)));
    known.set(events, made);
    return made;
  };
}

function wireDelivery({ events, cursor, progress = [], reconnect }: Delivery): SubscribeResponse {
  return {
    events: events.map(wireEvent),
    cursor,
    progress: progress.map(wireProgress),
    reconnect: reconnect === null ? undefined : { reason: RECONNECT_REASONS[reconnect] },
  };
}
