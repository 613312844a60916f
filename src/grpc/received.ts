import { LIMITS } from '../domain/limits.ts';
import type { Refusal } from '../domain/error.ts';

/**
 * What the transport lets in. Above the request limit, so that a request somewhat too large is refused by our own table
 * with its reason; the transport cuts off what is larger still, with a bare RESOURCE_EXHAUSTED.
 */
export const TRANSPORT_REQUEST_BYTES = 4 * LIMITS.requestBytes;

/** A request that could not be read. The handler's wrapper answers it: an error thrown while reading would be INTERNAL. */
export class Unreadable {
  readonly refusal: Refusal;

  constructor(description: string) {
    this.refusal = { kind: 'invalid_field', violations: [{ field: 'request', description }] };
  }
}

export function receive(bytes: Buffer, deserialize: (bytes: Buffer) => unknown): unknown {
  if (bytes.byteLength > LIMITS.requestBytes) return new Unreadable(`must be at most ${LIMITS.requestBytes} bytes`);
  try {
    return deserialize(bytes);
  } catch {
    return new Unreadable('is no message of its type');
  }
}
