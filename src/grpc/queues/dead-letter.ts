import { type DeadLetter, formatDeadLetterId } from '../../domain/dead-letter.ts';
import type { DeadLetter as WireDeadLetter } from '../../../gen/stint/v1/queue.ts';
import { wireAttempt } from '../attempt.ts';
import { optionalTimestamp, timestamp, wireFailure } from '../encode.ts';
import type { Fields } from '../fields.ts';

export function wireDeadLetter(letter: DeadLetter): WireDeadLetter {
  return {
    deadLetterId: formatDeadLetterId(letter),
    namespace: letter.namespace,
    queue: letter.queue,
    jobId: letter.jobId,
    life: letter.life,
    type: letter.type,
    failure: wireFailure(letter.failure),
    attempts: letter.attempts.map(wireAttempt),
    payload: Buffer.from(letter.payload),
    contentType: letter.contentType,
    payloadTruncated: letter.isPayloadTruncated,
    labels: letter.labels,
    headers: letter.headers,
    deadLetteredAt: timestamp(letter.deadLetteredAt),
    replayedAt: optionalTimestamp(letter.replayedAt),
  };
}

const POSITION = /^\d{1,19}$/;

/** A position of the list, as a page token holds it. */
export function readDeadLetterPosition(fields: Fields, text: string): bigint {
  if (POSITION.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text)) return BigInt(text);
  fields.refuse('page_token', 'was not given by this service');
  return 0n;
}
