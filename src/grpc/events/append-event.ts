import { EVENT_TYPE, isReservedEventType } from '../../domain/event.ts';
import { parseLeaseToken } from '../../domain/lease.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { Engine } from '../../engine/engine.ts';
import type { AppendEvent } from '../../engine/events/append-event.ts';
import type { AppendEventRequest, EventServiceService } from '../../../gen/stint/v1/event_service.ts';
import { readContentType, readKey, readNamespace, readRequiredJobId } from '../decode.ts';
import { decode, type Fields } from '../fields.ts';
import { accepted } from '../handler.ts';
import type { MethodHandler } from '../service.ts';
import { wireEvent } from './event.ts';

export function appendEvent(engine: Engine): MethodHandler<typeof EventServiceService.appendEvent> {
  return async (request) => {
    const command = decode((fields) => readAppendEvent(fields, request));
    return { event: wireEvent(accepted(await engine.events.appendEvent(command))) };
  };
}

function readAppendEvent(fields: Fields, request: AppendEventRequest): AppendEvent {
  const { leaseToken, data } = request;
  const replayKey = readKey(fields, 'replay_key', request.replayKey);
  return {
    namespace: readNamespace(fields, request.namespace),
    type: readCustomType(fields, request.type),
    data: fields.bytes('data', data, LIMITS.eventDataBytes),
    contentType: readContentType(fields, 'content_type', request.contentType),
    replayKey: replayKey === '' ? null : replayKey,
    holder: leaseToken === '' ? null : { token: parseLeaseToken(leaseToken) },
    jobId: readRequiredJobId(fields, request.jobId),
  };
}

function readCustomType(fields: Fields, type: string): string {
  if (type === '') fields.refuse('type', 'is required');
  else if (!EVENT_TYPE.test(type)) fields.refuse('type', `must match ${EVENT_TYPE.source}`);
  else if (isReservedEventType(type)) fields.refuse('type', `${type} is kept for events of the service`);
  return type;
}
