import { createHash } from 'node:crypto';
import { LIMITS } from '../domain/limits.ts';
import type { RequestKey } from '../engine/ports/request-key.ts';
import type { Fields } from './fields.ts';

/** Of a message that has a `request_id`: how ts-proto writes it. */
interface Codec<Message> {
  encode(message: Message): { finish(): Uint8Array };
}

/** What makes a repeated request answer the same; null without an id. The digest is of everything else in the message. */
export function readRequestKey<Message extends { readonly requestId: string }>(
  fields: Fields,
  message: Message,
  codec: Codec<Message>,
): RequestKey | null {
  const requestId = fields.text('request_id', message.requestId, LIMITS.keyBytes);
  if (requestId === '') return null;
  const content = codec.encode({ ...message, requestId: '' }).finish();
  return { requestId, digest: createHash('sha256').update(content).digest() };
}
