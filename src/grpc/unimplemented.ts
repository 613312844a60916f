import type { sendUnaryData, ServiceDefinition, UntypedHandleCall } from '@grpc/grpc-js';
import type { EventEmitter } from 'node:events';
import { RefusalError } from '../domain/error.ts';
import { errorResponse } from './status.ts';

/** Answers UNIMPLEMENTED with the full name of the RPC, whatever is sent. */
export function unimplemented({ path, requestStream, responseStream }: ServiceDefinition[string]): UntypedHandleCall {
  const refusal = () => errorResponse(new RefusalError({ kind: 'unimplemented', what: path.slice(1) }), () => undefined);
  if (!responseStream) return (_call: unknown, respond: sendUnaryData<unknown>) => respond(refusal());
  if (!requestStream) return (stream: EventEmitter) => void stream.emit('error', refusal());
  return (stream: EventEmitter) => {
    // What the client still sends is read and thrown away, so that it sees the answer and not a full window.
    stream.on('data', () => undefined);
    stream.emit('error', refusal());
  };
}
