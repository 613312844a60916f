import type { Engine } from '../../engine/engine.ts';
import type { AwaitEvent } from '../../engine/events/await-event.ts';
import type { AwaitEventRequest, EventServiceService } from '../../../gen/stint/v1/event_service.ts';
import { readNamespace, readRequiredJobId } from '../decode.ts';
import { decode, type Fields } from '../fields.ts';
import type { MethodHandler } from '../service.ts';
import { readEventType, wireEvent } from './event.ts';

export function awaitEvent(engine: Engine): MethodHandler<typeof EventServiceService.awaitEvent> {
  return async function* awaitEvent(request, call) {
    const query = decode((fields) => readAwaitEvent(fields, request));
    for await (const { event, latestSequence } of engine.events.awaitEvent(query, call.signal, call.ending)) {
      yield { event: event === null ? undefined : wireEvent(event), latestSequence: BigInt(latestSequence) };
    }
  };
}

function readAwaitEvent(fields: Fields, request: AwaitEventRequest): AwaitEvent {
  return {
    namespace: readNamespace(fields, request.namespace),
    type: readEventType(fields, 'type', request.type),
    afterSequence: fields.count('after_sequence', request.afterSequence),
    jobId: readRequiredJobId(fields, request.jobId),
  };
}
